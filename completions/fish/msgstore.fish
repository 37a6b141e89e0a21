# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_msgstore_global_optspecs
    string join \n
end

function __fish_msgstore_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_msgstore_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_msgstore_using_subcommand
    set -l cmd (__fish_msgstore_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "configure" -d 'Make an instance: directories, configuration, links'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "configutil" -d 'List and change configuration settings'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "counterutil" -d 'Show the counters of the services'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "deliver" -d 'Deliver a message from standard input to mailboxes'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "generate" -d 'Write completions or manual pages, or list the links of the tools'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "hashdir" -d 'Tell the hash directory of an account'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "imapd" -d 'The IMAP daemon'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "imcheck" -d 'Print what the store has of a mailbox or a database'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "imexpire" -d 'Expire messages by rules, and purge'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "iminitquota" -d 'Take quota limits over from the directory and count usage anew'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "imquotacheck" -d 'Report quota usage, tell users who come near their quota, enforce domain quotas'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "imsbackup" -d 'Back up mailboxes into an archive'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "imsched" -d 'The scheduler'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "imsimport" -d 'Append the messages of an mbox file to a mailbox'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "imsrestore" -d 'Put mailboxes back from an archive of imsbackup'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "lmtpd" -d 'The LMTP daemon'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "mboxutil" -d 'List, create, delete, rename and restore mailboxes'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "popd" -d 'The POP daemon'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "purge" -d 'Purge expunged messages, and old log files'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "readership" -d 'Tell who reads shared folders, and set rights of them'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "reconstruct" -d 'Check and repair mailboxes and the mailbox database'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "refresh" -d 'Make running services read the configuration again'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "start-msg" -d 'Start the services'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "stop-msg" -d 'Stop the services'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "stored" -d 'The store daemon'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "user" -d 'Add, change, list and delete the accounts of the user directory'
complete -c msgstore -n "__fish_msgstore_needs_command" -f -a "watcher" -d 'Notice services that died, and start them again'
complete -c msgstore -n "__fish_msgstore_using_subcommand configure" -l base -d 'The directory of the instance (msg_svr_base)' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand configure" -l domain -d 'The default mail domain: its users have plain userids' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand configure" -l user -d 'The system account of the services, and its group; by default who runs this' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand configure" -l partition -d 'A further partition of the store' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand configure" -l set -d 'A setting for msg.conf' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand configure" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand configure" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s f -d 'Work on this configuration file instead of config/msg.conf' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s o -d 'Print the value of one setting, or change it with -v or -d; NAME or NAME;lang-xx' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s v -d 'The new value; "" clears a text' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s p -d 'List the settings whose names begin with PREFIX, or match it where it holds * or ?' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s i -d 'Import settings from FILE, or from standard input: one NAME=VALUE a line, all of them or none' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s d -d 'Remove the setting, so that the default counts again'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s m -d 'Say of each listed setting whether a refresh is enough'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s l -d 'List what is set in msg.conf only; when setting or importing, accept names that are not known'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s e -d 'List settings with empty values too'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s H -d 'Explain the settings: values, default, when a change takes effect, whether it works in this release'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s V -d 'Check both configuration files and list what is wrong'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -s h -d 'Print the usage'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -l json -d 'One JSON object a line instead of the classic lines'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand configutil" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand counterutil" -s o -d 'Show the counters of OBJECT: alarm, diskusage, serverresponse, imapstat, popstat, lmtpstat' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand counterutil" -s i -d 'Seconds between two reports' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand counterutil" -s n -d 'Number of reports; without it there is no end' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand counterutil" -s r -d 'The registry, if it is not that of this instance' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand counterutil" -s l -d 'List the counter objects of the registry'
complete -c msgstore -n "__fish_msgstore_using_subcommand counterutil" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand counterutil" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s a -d 'The authorization id of the sender, for access control lists' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s r -d 'Put a Return-Path line with this address before the message' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s f -d 'The same as -r' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s m -d 'The folder of each user; without users a mailbox such as user/joe/Work' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s g -d 'Set this system flag (\\Seen) or keyword; may be repeated' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s l -d 'Speak LMTP (RFC 2033) on standard input and output'
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s c -d 'Create the folder if it does not exist'
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s d -d 'Nothing; for compatibility with /bin/mail'
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s F -d 'Skip the check of access control lists'
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -s q -d 'Deliver even when over quota'
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand deliver" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand generate" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand generate" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand hashdir" -l reverse -d 'Tell the mailbox that lies at PATH; for a message file, after a tab, its UID' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand hashdir" -s a -d 'Append the name of the account\'s directory: 53/53/=mack1'
complete -c msgstore -n "__fish_msgstore_using_subcommand hashdir" -s i -d 'Read account names from standard input, one a line'
complete -c msgstore -n "__fish_msgstore_using_subcommand hashdir" -l check -d 'Check that every account and folder directory of the store is where the rule puts it'
complete -c msgstore -n "__fish_msgstore_using_subcommand hashdir" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand hashdir" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand imapd" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imapd" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s m -d 'A mailbox: its own data, then a line for each message. A slash in front is allowed' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s c -d 'With -m: the message of this number, with what store.idx has of it' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s p -d 'Every mailbox of a partition, named by its nickname' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s f -d 'The mailboxes that FILE names, one a line; - is standard input' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s d -d 'A database: user.db, folder.db, quota.db, subscr.db, expunged.db' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s S -d 'Not in this release' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s s -d 'The figures of the environments of the mailbox database'
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s e -d 'With -m, -p and -f: also what is expunged and not purged yet'
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -s D -d 'Not in this release'
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imcheck" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s v -d 'Tell on standard error what is done: 1 the sums, 2 each mailbox, 3 each message' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s p -d 'Only in this partition' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s u -d 'Only the mailboxes of this user' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s t -d 'Threads of the process, at most' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s r -d 'Threads of each partition, at most' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s m -d 'At most so many rules may apply to a mailbox; where more do, nothing expires' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s f -d 'Use only the rules in FILE, which is written as the global one; with -i the file to install' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s x -d 'With -i: the mailbox. The file of an INBOX counts for all mailboxes of its user' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -l max-percent -d 'Expire nothing when that would be more than so many percent of the messages; default: local.store.expire.maxpercent' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s c -d 'Purge only'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s e -d 'Expire only'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s n -d 'Only print what would be done; exit code 2 if that is anything'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s d -d 'Debug messages on standard error'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -l json -d 'One JSON object a line, for each mailbox and rule'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -l table -d 'Draw a table'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -s i -d 'Install a local rule file: that of a partition (-p) or of a mailbox (-x)'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -l explain -d 'Tell of each message which rule and which criterion takes it'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imexpire" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand iminitquota" -s u -d 'This user' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand iminitquota" -s a -d 'Every user of the store'
complete -c msgstore -n "__fish_msgstore_using_subcommand iminitquota" -s q -d 'The limits only; without -u for every user'
complete -c msgstore -n "__fish_msgstore_using_subcommand iminitquota" -s s -d 'Limits, usage, since when the quota is used up, and with store.overquotastatus mailUserStatus; without -u for every user'
complete -c msgstore -n "__fish_msgstore_using_subcommand iminitquota" -s v -d 'Say on standard error what is changed'
complete -c msgstore -n "__fish_msgstore_using_subcommand iminitquota" -l json -d 'One JSON object a line, for usage that was wrong'
complete -c msgstore -n "__fish_msgstore_using_subcommand iminitquota" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand iminitquota" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s d -d 'Only users of DOMAIN; lists all of them. With -f: only that domain' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s u -d 'Only USER, whatever the rule file says' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s r -d 'The rule file' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s t -d 'The template of notices whose rule names none' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -l sample -d 'Print a sample of a rule file or of a template' -r -f -a "rulefile\t'A rule file, for config/imq.rulefile'
msgfile\t'A template, for config/imq.msgfile'"
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s n -d 'Tell users by the rules of the rule file'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s f -d 'Set mailDomainStatus to overquota or active, as the usage of each domain is; with store.overquotastatus mailUserStatus of users too'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -l check -d 'Compare the recorded usage with the messages; nothing is changed'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s i -d 'List all users, whatever the rule file says'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s a -d 'The users of the directory instead of the accounts of the store, with the limits of their entries'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s e -d 'Add the usage of each folder'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s v -d 'Say on standard error what is done'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s D -d 'Say on standard error what is known and decided of each user'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -l dry-run -d 'With -n and -f: only print what would be done; exit code 2 if that is anything'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -l json -d 'One JSON object a line'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -l table -d 'Draw the report as a table'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -s h -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imquotacheck" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s f -d 'The archive: a file, a device, or - for standard output' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s b -d 'Blocks of so many times 512 bytes' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s d -d 'Only messages that came into their folders from then on: yyyymmdd[:hhmmss], local time' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s e -d 'The character set of names of mailboxes; UTF-8 unless given' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s u -d 'A file with names, one a line' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s m -d 'Remember files with so many names or more; others are backed up in full each time' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s i -d 'Every message in full, whatever other mailboxes it is in'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s v -d 'Tell each mailbox'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s g -d 'Tell on standard error what is meant by each name, and how it ended'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s l -d 'Refused: tape changers are not driven'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -s x -d 'Refused: the manual does not say what it does'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsbackup" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsched" -l next -d 'List the next N runs, by the settings as they are now: when, which task, which command' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsched" -l json -d 'With --next: one JSON object a line'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsched" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsched" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s u -d 'The user, exactly as the store names the account' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s s -d 'The mbox file, its full path' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s c -d 'The answer to "Do you want to continue?": y or n' -r -f -a "y\t''
n\t''"
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s d -d 'The folder; INBOX unless given' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s e -d 'The character set in which -d is written; UTF-8 unless given' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s v -d 'What to tell: 0 nothing, 1 one line for the mailbox, 2 one for each message' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s g -d 'Tell more on standard error'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s i -d 'Ignore Content-Length fields'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s n -d 'If the mailbox exists, make a new one with the time behind its name'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -s b -d 'Subscribe to the mailbox if it is made now'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsimport" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s f -d 'The archive: a file, a device, or - for standard input' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s a -d 'Only what belongs to this user' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s b -d 'Read blocks of so many times 512 bytes' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s c -d 'The answer to "Do you want to continue?" where the archive is damaged: y or n' -r -f -a "y\t''
n\t''"
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s e -d 'The character set of names of mailboxes; UTF-8 unless given' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s m -d 'A file with lines oldname=newname: the mail of the one goes to the other' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s r -d 'Refused: links are resolved in one run, there is no file of references' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s u -d 'A file with names, one a line' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s v -d 'What to tell: 0 nothing, 1 each mailbox, 2 each message, 3 those that are there already, 4 members that are not wanted, 5 and where they are' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s g -d 'Tell on standard error what is meant by each name'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s h -d 'Print the header of the archive and restore nothing'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s i -d 'Do not look for messages that are there already'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s n -d 'If a mailbox exists, restore into a new one with the time behind its name'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s s -d 'Read a file from its beginning to its end without seeking'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -s t -d 'Print a table of contents and restore nothing'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -l verify -d 'Compare the archive with its manifest and with the store; restore nothing'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand imsrestore" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand lmtpd" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand lmtpd" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s p -d 'Mailboxes whose whole name matches: * any characters, % any but /, ? one' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s P -d 'Mailboxes whose whole name matches a POSIX extended regular expression' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s f -d 'With -c, -d, -r and -k: the names from FILE, one a line (-r: OLD NEW)' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s t -d 'With -R: only what was expunged in the last NUM hours. With -o: only accounts that nobody has used for NUM days' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s w -d 'With -o: write the list to FILE' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s q -d 'Obsolete' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s u -d 'Obsolete' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s l -d 'List mailboxes'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s c -d 'Create a mailbox, with the account when the directory knows its owner'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s d -d 'Delete a mailbox; an INBOX: the account with all its folders'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s r -d 'Rename OLD to NEW, move it to PARTITION, or both'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s k -d 'Lock a mailbox while COMMAND runs'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s e -d 'Expunge messages that are marked as deleted, in all mailboxes or those of a pattern'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s R -d 'Bring back expunged messages that are not purged yet'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s o -d 'List accounts of the store that the directory does not have on this host'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s x -d 'With -l: add the path and the access control list'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s s -d 'With -l: names only'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -l dry-run -d 'With -c, -d, -r, -e and -R: only print what would be done; exit code 2 if that is anything'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -l json -d 'With -l, -o and --dry-run: one JSON object a line'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -l table -d 'With -l: draw a table'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -s a -d 'Obsolete'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand mboxutil" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand popd" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand popd" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -l num -d 'Keep so many rotated files of each log; written -num=N too' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -s v -d 'Tell on standard error what is done: 1 the sums, 2 each mailbox, 3 each message' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -s p -d 'Only in this partition' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -s u -d 'Only the mailboxes of this user' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -s t -d 'Threads of the process, at most' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -s r -d 'Threads of each partition, at most' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -s n -d 'Only print what would be done; exit code 2 if that is anything'
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -s d -d 'Debug messages on standard error'
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -l json -d 'One JSON object a line, for each mailbox and rule'
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -l table -d 'Draw a table'
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand purge" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -s d -d 'For each shared folder: how many users have selected it within so many days' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -s p -d 'Forget users who have not selected a folder within so many months of 30 days' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -s l -d 'For each identifier: the shared folders that it may look up; with FOLDER, that one only' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -s s -d 'Give an identifier (a user, anyone, anyone@DOMAIN, group=NAME, with - before it to deny) exactly these rights of a folder, of lrswipcda; with none ("") its entry goes' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -l explain -d 'Tell for each right which entries grant or deny it to a user' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -l who -d 'With -d also name the readers, and when each selected the folder last'
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -l json -d 'One JSON object a line'
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand readership" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s d -d 'With -o: write the commands to FILE' -r -F
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s p -d 'Only what lies in this partition' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s u -d 'With -p PARTITION -m: only this user' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -l threads -d 'As many accounts at the same time' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s n -d 'Check only; nothing is changed'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s f -d 'Repair without a check: every message is read, store.idx is written anew, loose files become messages'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s i -d 'Begin store.idx anew in the mailboxes that are rebuilt'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s e -d 'What was expunged in the mailboxes that are rebuilt can not be brought back: the next purge removes it'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s r -d 'The mailboxes with all below them; without a mailbox, the whole store'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s m -d 'Repair the mailbox database: its rows among themselves, and against the directories of the partitions'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s q -d 'Set recorded usage right where it is not the sum of the messages; with -n only tell. Services may go on'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s o -d 'List the accounts that the directory does not have on this host, as commands that delete them'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -l content -d 'Read every message and compare its content with what was recorded'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -l json -d 'One JSON object a line'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -s l -d 'Not in this release'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand reconstruct" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand refresh" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand refresh" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand start-msg" -l timeout -d 'How long to wait for a service to be ready' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand start-msg" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand start-msg" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand stop-msg" -l timeout -d 'How long a service may take to end before it is killed' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand stop-msg" -s f -d 'Kill at once instead of asking first'
complete -c msgstore -n "__fish_msgstore_using_subcommand stop-msg" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand stop-msg" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand stored" -s d -d 'Run the daemon, as without options; for scripts that give it'
complete -c msgstore -n "__fish_msgstore_using_subcommand stored" -s t -d 'Tell by the exit code whether the daemon runs and is ready (0) or not (69)'
complete -c msgstore -n "__fish_msgstore_using_subcommand stored" -s r -d 'Synchronise the store and remove what is temporary, before an upgrade or a copy of its files; no service may run'
complete -c msgstore -n "__fish_msgstore_using_subcommand stored" -s R -d 'Remove what is temporary in the database of a stopped store, without synchronising or recovering anything; for when -r fails'
complete -c msgstore -n "__fish_msgstore_using_subcommand stored" -s v -d 'With -t, -r and -R print the status, with -t twice: signs of life and snapshots; else log more, twice: everything'
complete -c msgstore -n "__fish_msgstore_using_subcommand stored" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand stored" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and not __fish_seen_subcommand_from add passwd list show delete" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and not __fish_seen_subcommand_from add passwd list show delete" -l version -d 'Print the version'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and not __fish_seen_subcommand_from add passwd list show delete" -f -a "add" -d 'Add an account'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and not __fish_seen_subcommand_from add passwd list show delete" -f -a "passwd" -d 'Give an account another password'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and not __fish_seen_subcommand_from add passwd list show delete" -f -a "list" -d 'List the accounts'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and not __fish_seen_subcommand_from add passwd list show delete" -f -a "show" -d 'Show one account'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and not __fish_seen_subcommand_from add passwd list show delete" -f -a "delete" -d 'Delete an account from the directory. Its mail stays'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from add" -l name -d 'The person\'s name; the userid where it is not given' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from add" -l mail -d 'The primary address; userid and domain where it is not given' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from add" -l alias -d 'A further address' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from add" -l quota -d 'Quota in bytes, with K, M or G behind it; -1 unlimited' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from add" -l messages -d 'Quota in messages; -1 unlimited' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from add" -l partition -d 'The partition of the mailbox' -r
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from add" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from passwd" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from list" -l json -d 'One JSON object a line'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from list" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from show" -l json -d 'One JSON object'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from show" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from delete" -l yes -d 'Do not ask'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from delete" -s n -l dry-run -d 'Only say what would be deleted (exit code 2)'
complete -c msgstore -n "__fish_msgstore_using_subcommand user; and __fish_seen_subcommand_from delete" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand watcher" -l ha -d 'Start services again whatever is configured, and end when one dies too often, for another host to take over'
complete -c msgstore -n "__fish_msgstore_using_subcommand watcher" -l help -d 'Print this help'
complete -c msgstore -n "__fish_msgstore_using_subcommand watcher" -l version -d 'Print the version'
