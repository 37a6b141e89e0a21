-- imapfilter.lua: what the session does. Server, user and password come from the environment; what the client finds it prints, a line each.
options.timeout = 240
options.certificates = false
options.subscribe = true
options.starttls = os.getenv('STARTTLS') == 'yes'
options.expunge = true

local place = { server = 'localhost', port = tonumber(os.getenv('PORT')), username = os.getenv('SESSION_USER'), password = os.getenv('PASSWORD') }
if not options.starttls then
    place.ssl = 'auto'
end
local account = IMAP(place)

local function names(list)
    table.sort(list)
    return table.concat(list, '|')
end

-- UIDs of a set of messages.
local function uids(found)
    local list = {}
    for _, message in ipairs(found) do
        list[#list + 1] = message[2]
    end
    table.sort(list)
    return table.concat(list, ',')
end

local function say(what, value)
    print(what .. '\t' .. tostring(value))
end

if not options.starttls then
    say('status', table.concat({ account.INBOX:check_status() }, ','))
    os.exit(0)
end

account:create_mailbox('Listen/Entwürfe')
account:create_mailbox('Weg')
account:delete_mailbox('Weg')
account:rename_mailbox('Listen/Entwürfe', 'Listen/Reste')
account:create_mailbox('Archive')
local boxes = account:list_all()
say('folders', names(boxes))
say('below', names((account:list_all('Listen'))))
say('status', table.concat({ account.INBOX:check_status() }, ','))

local inbox = account.INBOX
say('all', uids(inbox:select_all()))
say('unseen', uids(inbox:is_unseen()))
say('subject', uids(inbox:contain_subject('message 3')))
say('and', uids(inbox:is_unseen() * inbox:contain_from('s4@')))
say('or', uids(inbox:contain_from('s1@') + inbox:contain_body('Grüße')))
say('not', uids(inbox:select_all() - inbox:is_smaller(500)))
say('pattern', uids(inbox:match_subject('message [56]$')))
say('header', uids(inbox:match_header('(?m)^Message-ID: <2@')))
say('query', uids(inbox:send_query('HEADER Message-ID 4@example.org')))
say('field', inbox[2]:fetch_field('Subject'))
say('size', inbox[2]:fetch_size())
say('text', inbox[2]:fetch_body():gsub('%s+$', ''))
say('length', #inbox[2]:fetch_message())
local structure = inbox[7]:fetch_structure()
say('structure', structure['1'].type .. ' ' .. structure['2'].type)
say('part', (inbox[7]:fetch_part('2'):gsub('%s+$', '')))

local found = inbox:contain_subject('message 3')
found:mark_flagged()
found:add_flags({ 'Arbeit' })
say('keyword', uids(inbox:has_keyword('Arbeit')))
inbox:is_seen():unmark_seen()
inbox:contain_from('s5@'):move_messages(account['Listen/Reste'])
inbox:contain_from('s4@'):copy_messages(account['Listen/Reste'])
inbox:contain_from('s6@'):delete_messages()
account.Archive:append_message('Subject: appended\r\n\r\nby imapfilter\r\n', { '\\Seen', 'Arbeit' }, '08-Nov-2004 10:00:00 +0100')
say('left', uids(inbox:select_all()))

-- The corpus: every message is looked at, and those of a sort go elsewhere.
local corpus = account.Corpus
say('corpus', #corpus:select_all())
corpus:is_larger(5000):move_messages(account.Archive)
say('small', #corpus:select_all())
say('large', #account.Archive:select_all())
local unread = {}
for _, message in ipairs(account.Archive:select_all()) do
    local uid = message[2]
    if not pcall(function() return account.Archive[uid]:fetch_structure() end) then
        unread[#unread + 1] = uid
    end
end
say('unread', table.concat(unread, ','))

-- Waits until another session delivers.
inbox:select_all()
io.open(os.getenv('READY'), 'w'):close()
local woken
repeat
    woken = inbox:enter_idle()
until not woken or #inbox:contain_subject('message 9') > 0
say('woken', woken)
account.Archive:is_seen():mark_answered()
