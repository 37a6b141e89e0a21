complete -c popd -l help -d 'Print this help'
complete -c popd -l version -d 'Print the version'
