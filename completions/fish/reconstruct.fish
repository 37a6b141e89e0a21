complete -c reconstruct -s p -d 'Only what lies in this partition' -r
complete -c reconstruct -s d -d 'Not in this release' -r -F
complete -c reconstruct -s u -d 'Not in this release' -r
complete -c reconstruct -s n -d 'Check only; nothing is changed'
complete -c reconstruct -s r -d 'Check the mailboxes with all below them; without a mailbox, the whole store'
complete -c reconstruct -s q -d 'Set recorded usage right where it is not the sum of the messages; with -n only tell. Services may go on'
complete -c reconstruct -l content -d 'Read every message and compare its content with what was recorded'
complete -c reconstruct -l json -d 'One JSON object a line'
complete -c reconstruct -s f -d 'Not in this release'
complete -c reconstruct -s o -d 'Not in this release'
complete -c reconstruct -l help -d 'Print this help'
complete -c reconstruct -l version -d 'Print the version'
