complete -c start-msg -l timeout -d 'How long to wait for a service to be ready' -r
complete -c start-msg -l help -d 'Print this help'
complete -c start-msg -l version -d 'Print the version'
