complete -c imcheck -s m -d 'A mailbox: its own data, then a line for each message. A slash in front is allowed' -r
complete -c imcheck -s c -d 'With -m: the message of this number, with what store.idx has of it' -r
complete -c imcheck -s p -d 'Every mailbox of a partition, named by its nickname' -r
complete -c imcheck -s f -d 'The mailboxes that FILE names, one a line; - is standard input' -r -F
complete -c imcheck -s d -d 'A database: user.db, folder.db, quota.db, subscr.db, expunged.db' -r
complete -c imcheck -s S -d 'Not in this release' -r
complete -c imcheck -s s -d 'The figures of the environments of the mailbox database'
complete -c imcheck -s e -d 'With -m, -p and -f: also what is expunged and not purged yet'
complete -c imcheck -s D -d 'Not in this release'
complete -c imcheck -l help -d 'Print this help'
complete -c imcheck -l version -d 'Print the version'
