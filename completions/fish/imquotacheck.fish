complete -c imquotacheck -s d -d 'Only users of DOMAIN; lists all of them. With -f: only that domain' -r
complete -c imquotacheck -s u -d 'Only USER, whatever the rule file says' -r
complete -c imquotacheck -s r -d 'The rule file' -r -F
complete -c imquotacheck -s t -d 'The template of notices whose rule names none' -r -F
complete -c imquotacheck -l sample -d 'Print a sample of a rule file or of a template' -r -f -a "rulefile\t'A rule file, for config/imq.rulefile'
msgfile\t'A template, for config/imq.msgfile'"
complete -c imquotacheck -s n -d 'Tell users by the rules of the rule file'
complete -c imquotacheck -s f -d 'Set mailDomainStatus to overquota or active, as the usage of each domain is; with store.overquotastatus mailUserStatus of users too'
complete -c imquotacheck -l check -d 'Compare the recorded usage with the messages; nothing is changed'
complete -c imquotacheck -s i -d 'List all users, whatever the rule file says'
complete -c imquotacheck -s a -d 'The users of the directory instead of the accounts of the store, with the limits of their entries'
complete -c imquotacheck -s e -d 'Add the usage of each folder'
complete -c imquotacheck -s v -d 'Say on standard error what is done'
complete -c imquotacheck -s D -d 'Say on standard error what is known and decided of each user'
complete -c imquotacheck -l dry-run -d 'With -n and -f: only print what would be done; exit code 2 if that is anything'
complete -c imquotacheck -l json -d 'One JSON object a line'
complete -c imquotacheck -l table -d 'Draw the report as a table'
complete -c imquotacheck -s h -d 'Print this help'
complete -c imquotacheck -l help -d 'Print this help'
complete -c imquotacheck -l version -d 'Print the version'
