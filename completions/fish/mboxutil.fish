complete -c mboxutil -s p -d 'Mailboxes whose whole name matches: * any characters, % any but /, ? one' -r
complete -c mboxutil -s P -d 'Mailboxes whose whole name matches a POSIX extended regular expression' -r
complete -c mboxutil -s f -d 'With -c, -d, -r and -k: the names from FILE, one a line (-r: OLD NEW)' -r -F
complete -c mboxutil -s t -d 'With -R: only what was expunged in the last NUM hours. With -o: only accounts that nobody has used for NUM days' -r
complete -c mboxutil -s w -d 'With -o: write the list to FILE' -r -F
complete -c mboxutil -s q -d 'Obsolete' -r
complete -c mboxutil -s u -d 'Obsolete' -r
complete -c mboxutil -s l -d 'List mailboxes'
complete -c mboxutil -s c -d 'Create a mailbox, with the account when the directory knows its owner'
complete -c mboxutil -s d -d 'Delete a mailbox; an INBOX: the account with all its folders'
complete -c mboxutil -s r -d 'Rename OLD to NEW, move it to PARTITION, or both'
complete -c mboxutil -s k -d 'Lock a mailbox while COMMAND runs'
complete -c mboxutil -s e -d 'Expunge messages that are marked as deleted, in all mailboxes or those of a pattern'
complete -c mboxutil -s R -d 'Bring back expunged messages that are not purged yet'
complete -c mboxutil -s o -d 'List accounts of the store that the directory does not have on this host'
complete -c mboxutil -s x -d 'With -l: add the path and the access control list'
complete -c mboxutil -s s -d 'With -l: names only'
complete -c mboxutil -l dry-run -d 'With -c, -d, -r, -e and -R: only print what would be done; exit code 2 if that is anything'
complete -c mboxutil -l json -d 'With -l, -o and --dry-run: one JSON object a line'
complete -c mboxutil -l table -d 'With -l: draw a table'
complete -c mboxutil -s a -d 'Obsolete'
complete -c mboxutil -l help -d 'Print this help'
complete -c mboxutil -l version -d 'Print the version'
