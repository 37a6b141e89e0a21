complete -c imsbackup -s f -d 'The archive: a file, a device, or - for standard output' -r -F
complete -c imsbackup -s b -d 'Blocks of so many times 512 bytes' -r
complete -c imsbackup -s d -d 'Only messages that came into their folders from then on: yyyymmdd[:hhmmss], local time' -r
complete -c imsbackup -s e -d 'The character set of names of mailboxes; UTF-8 unless given' -r
complete -c imsbackup -s u -d 'A file with names, one a line' -r -F
complete -c imsbackup -s m -d 'Remember files with so many names or more; others are backed up in full each time' -r
complete -c imsbackup -s i -d 'Every message in full, whatever other mailboxes it is in'
complete -c imsbackup -s v -d 'Tell each mailbox'
complete -c imsbackup -s g -d 'Tell on standard error what is meant by each name, and how it ended'
complete -c imsbackup -s l -d 'Refused: tape changers are not driven'
complete -c imsbackup -s x -d 'Refused: the manual does not say what it does'
complete -c imsbackup -l help -d 'Print this help'
complete -c imsbackup -l version -d 'Print the version'
