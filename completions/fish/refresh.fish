complete -c refresh -l help -d 'Print this help'
complete -c refresh -l version -d 'Print the version'
