complete -c readership -s d -d 'For each shared folder: how many users have selected it within so many days' -r
complete -c readership -s p -d 'Forget users who have not selected a folder within so many months of 30 days' -r
complete -c readership -s l -d 'For each identifier: the shared folders that it may look up; with FOLDER, that one only' -r
complete -c readership -s s -d 'Give an identifier (a user, anyone, anyone@DOMAIN, group=NAME, with - before it to deny) exactly these rights of a folder, of lrswipcda; with none ("") its entry goes' -r
complete -c readership -l explain -d 'Tell for each right which entries grant or deny it to a user' -r
complete -c readership -l who -d 'With -d also name the readers, and when each selected the folder last'
complete -c readership -l json -d 'One JSON object a line'
complete -c readership -l help -d 'Print this help'
complete -c readership -l version -d 'Print the version'
