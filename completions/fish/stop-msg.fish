complete -c stop-msg -l timeout -d 'How long a service may take to end before it is killed' -r
complete -c stop-msg -s f -d 'Kill at once instead of asking first'
complete -c stop-msg -l help -d 'Print this help'
complete -c stop-msg -l version -d 'Print the version'
