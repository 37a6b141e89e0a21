complete -c deliver -s a -d 'The authorization id of the sender, for access control lists' -r
complete -c deliver -s r -d 'Put a Return-Path line with this address before the message' -r
complete -c deliver -s f -d 'The same as -r' -r
complete -c deliver -s m -d 'The folder of each user; without users a mailbox such as user/joe/Work' -r
complete -c deliver -s g -d 'Set this system flag (\\Seen) or keyword; may be repeated' -r
complete -c deliver -s l -d 'Speak LMTP (RFC 2033) on standard input and output'
complete -c deliver -s c -d 'Create the folder if it does not exist'
complete -c deliver -s d -d 'Nothing; for compatibility with /bin/mail'
complete -c deliver -s F -d 'Skip the check of access control lists'
complete -c deliver -s q -d 'Deliver even when over quota'
complete -c deliver -l help -d 'Print this help'
complete -c deliver -l version -d 'Print the version'
