complete -c hashdir -l reverse -d 'Tell the mailbox that lies at PATH; for a message file, after a tab, its UID' -r -F
complete -c hashdir -s a -d 'Append the name of the account\'s directory: 53/53/=mack1'
complete -c hashdir -s i -d 'Read account names from standard input, one a line'
complete -c hashdir -l check -d 'Check that every account and folder directory of the store is where the rule puts it'
complete -c hashdir -l help -d 'Print this help'
complete -c hashdir -l version -d 'Print the version'
