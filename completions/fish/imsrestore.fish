complete -c imsrestore -s f -d 'The archive: a file, a device, or - for standard input' -r -F
complete -c imsrestore -s a -d 'Only what belongs to this user' -r
complete -c imsrestore -s b -d 'Read blocks of so many times 512 bytes' -r
complete -c imsrestore -s c -d 'The answer to "Do you want to continue?" where the archive is damaged: y or n' -r -f -a "y\t''
n\t''"
complete -c imsrestore -s e -d 'The character set of names of mailboxes; UTF-8 unless given' -r
complete -c imsrestore -s m -d 'A file with lines oldname=newname: the mail of the one goes to the other' -r -F
complete -c imsrestore -s r -d 'Refused: links are resolved in one run, there is no file of references' -r -F
complete -c imsrestore -s u -d 'A file with names, one a line' -r -F
complete -c imsrestore -s v -d 'What to tell: 0 nothing, 1 each mailbox, 2 each message, 3 those that are there already, 4 members that are not wanted, 5 and where they are' -r
complete -c imsrestore -s g -d 'Tell on standard error what is meant by each name'
complete -c imsrestore -s h -d 'Print the header of the archive and restore nothing'
complete -c imsrestore -s i -d 'Do not look for messages that are there already'
complete -c imsrestore -s n -d 'If a mailbox exists, restore into a new one with the time behind its name'
complete -c imsrestore -s s -d 'Read a file from its beginning to its end without seeking'
complete -c imsrestore -s t -d 'Print a table of contents and restore nothing'
complete -c imsrestore -l verify -d 'Compare the archive with its manifest and with the store; restore nothing'
complete -c imsrestore -l help -d 'Print this help'
complete -c imsrestore -l version -d 'Print the version'
