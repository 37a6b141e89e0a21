complete -c reconstruct -s d -d 'With -o: write the commands to FILE' -r -F
complete -c reconstruct -s p -d 'Only what lies in this partition' -r
complete -c reconstruct -s u -d 'With -p PARTITION -m: only this user' -r
complete -c reconstruct -l threads -d 'As many accounts at the same time' -r
complete -c reconstruct -s n -d 'Check only; nothing is changed'
complete -c reconstruct -s f -d 'Repair without a check: every message is read, store.idx is written anew, loose files become messages'
complete -c reconstruct -s i -d 'Begin store.idx anew in the mailboxes that are rebuilt'
complete -c reconstruct -s e -d 'What was expunged in the mailboxes that are rebuilt can not be brought back: the next purge removes it'
complete -c reconstruct -s r -d 'The mailboxes with all below them; without a mailbox, the whole store'
complete -c reconstruct -s m -d 'Repair the mailbox database: its rows among themselves, and against the directories of the partitions'
complete -c reconstruct -s q -d 'Set recorded usage right where it is not the sum of the messages; with -n only tell. Services may go on'
complete -c reconstruct -s o -d 'List the accounts that the directory does not have on this host, as commands that delete them'
complete -c reconstruct -l content -d 'Read every message and compare its content with what was recorded'
complete -c reconstruct -l json -d 'One JSON object a line'
complete -c reconstruct -s l -d 'Not in this release'
complete -c reconstruct -l help -d 'Print this help'
complete -c reconstruct -l version -d 'Print the version'
