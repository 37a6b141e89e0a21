complete -c imsched -l next -d 'List the next N runs, by the settings as they are now: when, which task, which command' -r
complete -c imsched -l json -d 'With --next: one JSON object a line'
complete -c imsched -l help -d 'Print this help'
complete -c imsched -l version -d 'Print the version'
