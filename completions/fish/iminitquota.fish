complete -c iminitquota -s u -d 'This user' -r
complete -c iminitquota -s a -d 'Every user of the store'
complete -c iminitquota -s q -d 'The limits only; without -u for every user'
complete -c iminitquota -s s -d 'Limits, usage, since when the quota is used up, and with store.overquotastatus mailUserStatus; without -u for every user'
complete -c iminitquota -s v -d 'Say on standard error what is changed'
complete -c iminitquota -l json -d 'One JSON object a line, for usage that was wrong'
complete -c iminitquota -l help -d 'Print this help'
complete -c iminitquota -l version -d 'Print the version'
