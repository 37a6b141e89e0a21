complete -c purge -l num -d 'Keep so many rotated files of each log; written -num=N too' -r
complete -c purge -s v -d 'Tell on standard error what is done: 1 the sums, 2 each mailbox, 3 each message' -r
complete -c purge -s p -d 'Only in this partition' -r
complete -c purge -s u -d 'Only the mailboxes of this user' -r
complete -c purge -s t -d 'Threads of the process, at most' -r
complete -c purge -s r -d 'Threads of each partition, at most' -r
complete -c purge -s n -d 'Only print what would be done; exit code 2 if that is anything'
complete -c purge -s d -d 'Debug messages on standard error'
complete -c purge -l json -d 'One JSON object a line, for each mailbox and rule'
complete -c purge -l table -d 'Draw a table'
complete -c purge -l help -d 'Print this help'
complete -c purge -l version -d 'Print the version'
