complete -c counterutil -s o -d 'Show the counters of OBJECT: alarm, diskusage, serverresponse, imapstat, popstat, lmtpstat' -r
complete -c counterutil -s i -d 'Seconds between two reports' -r
complete -c counterutil -s n -d 'Number of reports; without it there is no end' -r
complete -c counterutil -s r -d 'The registry, if it is not that of this instance' -r -F
complete -c counterutil -s l -d 'List the counter objects of the registry'
complete -c counterutil -l help -d 'Print this help'
complete -c counterutil -l version -d 'Print the version'
