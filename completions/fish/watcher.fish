complete -c watcher -l ha -d 'Start services again whatever is configured, and end when one dies too often, for another host to take over'
complete -c watcher -l help -d 'Print this help'
complete -c watcher -l version -d 'Print the version'
