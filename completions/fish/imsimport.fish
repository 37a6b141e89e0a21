complete -c imsimport -s u -d 'The user, exactly as the store names the account' -r
complete -c imsimport -s s -d 'The mbox file, its full path' -r -F
complete -c imsimport -s c -d 'The answer to "Do you want to continue?": y or n' -r -f -a "y\t''
n\t''"
complete -c imsimport -s d -d 'The folder; INBOX unless given' -r
complete -c imsimport -s e -d 'The character set in which -d is written; UTF-8 unless given' -r
complete -c imsimport -s v -d 'What to tell: 0 nothing, 1 one line for the mailbox, 2 one for each message' -r
complete -c imsimport -s g -d 'Tell more on standard error'
complete -c imsimport -s i -d 'Ignore Content-Length fields'
complete -c imsimport -s n -d 'If the mailbox exists, make a new one with the time behind its name'
complete -c imsimport -s b -d 'Subscribe to the mailbox if it is made now'
complete -c imsimport -l help -d 'Print this help'
complete -c imsimport -l version -d 'Print the version'
