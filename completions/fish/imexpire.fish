complete -c imexpire -s v -d 'Tell on standard error what is done: 1 the sums, 2 each mailbox, 3 each message' -r
complete -c imexpire -s p -d 'Only in this partition' -r
complete -c imexpire -s u -d 'Only the mailboxes of this user' -r
complete -c imexpire -s t -d 'Threads of the process, at most' -r
complete -c imexpire -s r -d 'Threads of each partition, at most' -r
complete -c imexpire -s m -d 'At most so many rules may apply to a mailbox; where more do, nothing expires' -r
complete -c imexpire -s f -d 'Use only the rules in FILE, which is written as the global one; with -i the file to install' -r -F
complete -c imexpire -s x -d 'With -i: the mailbox. The file of an INBOX counts for all mailboxes of its user' -r
complete -c imexpire -l max-percent -d 'Expire nothing when that would be more than so many percent of the messages; default: local.store.expire.maxpercent' -r
complete -c imexpire -s c -d 'Purge only'
complete -c imexpire -s e -d 'Expire only'
complete -c imexpire -s n -d 'Only print what would be done; exit code 2 if that is anything'
complete -c imexpire -s d -d 'Debug messages on standard error'
complete -c imexpire -l json -d 'One JSON object a line, for each mailbox and rule'
complete -c imexpire -l table -d 'Draw a table'
complete -c imexpire -s i -d 'Install a local rule file: that of a partition (-p) or of a mailbox (-x)'
complete -c imexpire -l explain -d 'Tell of each message which rule and which criterion takes it'
complete -c imexpire -l help -d 'Print this help'
complete -c imexpire -l version -d 'Print the version'
