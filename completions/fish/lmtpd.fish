complete -c lmtpd -l help -d 'Print this help'
complete -c lmtpd -l version -d 'Print the version'
