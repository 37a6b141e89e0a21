complete -c imapd -l help -d 'Print this help'
complete -c imapd -l version -d 'Print the version'
