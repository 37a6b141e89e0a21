complete -c configutil -s f -d 'Work on this configuration file instead of config/msg.conf' -r -F
complete -c configutil -s o -d 'Print the value of one setting, or change it with -v or -d; NAME or NAME;lang-xx' -r
complete -c configutil -s v -d 'The new value; "" clears a text' -r
complete -c configutil -s p -d 'List the settings whose names begin with PREFIX, or match it where it holds * or ?' -r
complete -c configutil -s i -d 'Import settings from FILE, or from standard input: one NAME=VALUE a line, all of them or none' -r -F
complete -c configutil -s d -d 'Remove the setting, so that the default counts again'
complete -c configutil -s m -d 'Say of each listed setting whether a refresh is enough'
complete -c configutil -s l -d 'List what is set in msg.conf only; when setting or importing, accept names that are not known'
complete -c configutil -s e -d 'List settings with empty values too'
complete -c configutil -s H -d 'Explain the settings: values, default, when a change takes effect, whether it works in this release'
complete -c configutil -s V -d 'Check both configuration files and list what is wrong'
complete -c configutil -s h -d 'Print the usage'
complete -c configutil -l json -d 'One JSON object a line instead of the classic lines'
complete -c configutil -l help -d 'Print this help'
complete -c configutil -l version -d 'Print the version'
