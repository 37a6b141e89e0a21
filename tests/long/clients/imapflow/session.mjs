// session.mjs: imapflow against a server. Its arguments are the JSON of the environment variable SESSION: port, tlsPort, user, pass, ca (a file), corpus (a
// file of messages as JSON, in base64). What it believes at the end, and what it checked, goes to standard output as JSON.
import { ImapFlow } from 'imapflow';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';

const asked = JSON.parse(process.env.SESSION);
const ca = readFileSync(asked.ca);
// A guard against hanging only.
const PATIENCE_MS = 240_000;
let checks = 0;
const spoken = new Set();

function equal(what, found, wanted) {
    checks += 1;
    assert.deepEqual(found, wanted, what);
}

function options(more) {
    // What the client says and hears passes through its log; a BAD is a failure of one of the two.
    const listen = entry => {
        if (entry.src === 's' && /^\S+ BAD/.test(entry.msg)) {
            throw new Error(`the server says ${entry.msg}`);
        }
        if (entry.src === 'c' && /^\S+ [A-Z]/.test(entry.msg)) {
            spoken.add(entry.msg.split(' ').slice(1, entry.msg.startsWith('UID', entry.msg.indexOf(' ') + 1) ? 3 : 2).join(' '));
        }
    };
    const logger = { trace: listen, debug: listen, info: listen, warn: listen, error: listen, fatal: listen };
    const base = { host: 'localhost', port: asked.port, secure: false, doSTARTTLS: true, tls: { ca }, auth: { user: asked.user, pass: asked.pass }, qresync: true };
    return { ...base, socketTimeout: PATIENCE_MS, logger, ...more };
}

async function connected(more) {
    const client = new ImapFlow(options(more));
    await client.connect();
    return client;
}

// Waits for something that events bring.
async function until(what, ready) {
    for (let waited = 0; !ready(); waited += 20) {
        assert.ok(waited < PATIENCE_MS, `${what} did not come`);
        await new Promise(done => setTimeout(done, 20));
    }
    checks += 1;
}

function message(number, body) {
    const lines = [`From: Sender ${number} <s${number}@example.org>`, 'To: joe@example.org', `Subject: message ${number}`,
        `Date: ${new Date(Date.UTC(2004, 10, number, 9)).toUTCString()}`, `Message-ID: <${number}@example.org>`, 'Content-Type: text/plain; charset=utf-8', '', body, ''];
    return lines.join('\r\n');
}

async function gathered(client, range, query, more) {
    const found = [];
    for await (const one of client.fetch(range, query, more)) {
        found.push(one);
    }
    return found;
}

async function connections() {
    const wrong = new ImapFlow(options({ auth: { user: asked.user, pass: 'wrong' } }));
    await assert.rejects(wrong.connect(), error => error.authenticationFailed === true);
    const distrustful = new ImapFlow(options({ port: asked.tlsPort, secure: true, tls: {} }));
    await assert.rejects(distrustful.connect());
    const tls = await connected({ port: asked.tlsPort, secure: true, doSTARTTLS: undefined });
    equal('TLS from the start', tls.secureConnection, true);
    await tls.logout();
    checks += 2;
}

async function mailboxes(client) {
    equal('hierarchy', client.namespace.delimiter, '/');
    for (const name of ['Sent', 'Trash', 'Drafts']) {
        const made = await client.mailboxCreate(name);
        equal('created', [made.created, typeof made.mailboxId], [true, 'string']);
    }
    equal('created twice', (await client.mailboxCreate('Sent')).created, false);
    await client.mailboxCreate(['Entwürfe & Reste', 'Ünten']);
    const status = { messages: true, unseen: true, uidNext: true, uidValidity: true, highestModseq: true, size: true };
    const list = await client.list({ statusQuery: status });
    const uses = Object.fromEntries(list.map(one => [one.path, one.specialUse]));
    equal('special uses', uses, { INBOX: '\\Inbox', Drafts: '\\Drafts', 'Entwürfe & Reste': undefined, 'Entwürfe & Reste/Ünten': undefined, Sent: '\\Sent', Trash: '\\Trash' });
    equal('said by the server', list.find(one => one.path === 'Sent').specialUseSource, 'extension');
    equal('their status', list.map(one => [one.status.messages, one.status.size]), list.map(() => [0, 0]));
    await client.mailboxRename('Entwürfe & Reste', 'Projekt');
    await client.mailboxSubscribe('Projekt');
    await client.mailboxDelete('Projekt/Ünten');
    const left = (await client.list()).map(one => [one.path, one.subscribed]);
    equal('renamed and deleted', left.filter(([path]) => path.startsWith('Projekt')), [['Projekt', true]]);
    equal('quota', (await client.getQuota('INBOX')).quotaRoot, `user/${asked.user}`);
}

async function appends(client) {
    for (let number = 1; number <= 8; number++) {
        const put = await client.append('INBOX', message(number, number === 8 ? 'Grüße' : 'hello'), number < 3 ? ['\\Seen'] : [], new Date(Date.UTC(2004, 10, number)));
        equal('appended', [put.destination, put.uid], ['INBOX', number]);
    }
    const opened = await client.mailboxOpen('INBOX');
    equal('opened', [opened.exists, opened.uidNext, opened.readOnly, typeof opened.highestModseq], [8, 9, false, 'bigint']);
    equal('enabled', ['CONDSTORE', 'QRESYNC', 'UTF8=ACCEPT'].filter(word => client.enabled.has(word)), ['CONDSTORE', 'QRESYNC', 'UTF8=ACCEPT']);
}

async function fetches(client) {
    const everything = { uid: true, flags: true, envelope: true, bodyStructure: true, internalDate: true, size: true, emailId: true, headers: ['subject'], source: true };
    const found = await gathered(client, '1:*', everything);
    equal('uids', found.map(one => one.uid), [1, 2, 3, 4, 5, 6, 7, 8]);
    for (const one of found) {
        equal('subject', one.envelope.subject, `message ${one.uid}`);
        equal('from', one.envelope.from, [{ name: `Sender ${one.uid}`, address: `s${one.uid}@example.org` }]);
        equal('source', one.source.toString(), message(one.uid, one.uid === 8 ? 'Grüße' : 'hello'));
        equal('size', one.size, one.source.length);
        equal('moment', new Date(one.internalDate).getTime(), Date.UTC(2004, 10, one.uid));
        equal('kind', one.bodyStructure.type, 'text/plain');
        equal('header', one.headers.toString().trim(), `Subject: message ${one.uid}`);
    }
    equal('unseen', await client.search({ seen: false }, { uid: true }), [3, 4, 5, 6, 7, 8]);
    equal('text beyond ASCII', await client.search({ body: 'Grüße' }, { uid: true }), [8]);
    equal('or', await client.search({ or: [{ subject: 'message 1' }, { from: 's4@' }] }, { uid: true }), [1, 4]);
    equal('header and date', await client.search({ header: { 'message-id': '5@example.org' }, since: new Date('2004-11-01') }, { uid: true }), [5]);
    const counted = await client.search({ all: true }, { uid: true, returnOptions: ['MIN', 'MAX', 'COUNT'] });
    equal('an extended search', [counted.min, counted.max, counted.count], [1, 8, 8]);
    const { content, meta } = await client.download('8', '1', { uid: true });
    const pieces = [];
    for await (const piece of content) {
        pieces.push(piece);
    }
    equal('a download', [meta.contentType, Buffer.concat(pieces).toString()], ['text/plain', 'Grüße\r\n']);
}

async function changes(client) {
    const before = client.mailbox.highestModseq;
    await client.messageFlagsAdd('3:4', ['\\Flagged', '$Work'], { uid: true });
    const changed = await gathered(client, '1:*', { uid: true, flags: true }, { uid: true, changedSince: before });
    equal('what has changed', changed.map(one => [one.uid, [...one.flags].filter(flag => flag !== '\\Recent').sort()]), [[3, ['$Work', '\\Flagged']], [4, ['$Work', '\\Flagged']]]);
    equal('mod-sequences', changed.every(one => one.modseq > before), true);
    await client.messageFlagsRemove('3', ['$Work'], { uid: true });
    await client.messageFlagsSet('5', ['\\Answered'], { uid: true });
    await client.messageFlagsAdd('4', ['\\Seen'], { uid: true, unchangedSince: before });
    equal('the conditional one left it alone', (await client.fetchOne('4', { flags: true }, { uid: true })).flags.has('\\Seen'), false);
    const copied = await client.messageCopy('1:2', 'Projekt', { uid: true });
    equal('copied', [...copied.uidMap], [[1, 1], [2, 2]]);
    const moved = await client.messageMove('7', 'Projekt', { uid: true });
    equal('moved', [...moved.uidMap], [[7, 3]]);
    await client.messageDelete('6', { uid: true });
    equal('what is left', await client.search({ all: true }, { uid: true }), [1, 2, 3, 4, 5, 8]);
}

async function notices(client) {
    const heard = { exists: [], expunge: [], flags: [] };
    for (const kind of Object.keys(heard)) {
        client.on(kind, event => heard[kind].push(event));
    }
    const idle = client.idle();
    const other = await connected({ disableCompression: true, qresync: false });
    await other.mailboxOpen('INBOX');
    await other.append('INBOX', message(9, 'new'));
    await until('the new message', () => heard.exists.some(event => event.count === 7));
    await other.messageFlagsAdd('2', ['\\Flagged'], { uid: true });
    await until('the flag', () => heard.flags.some(event => event.uid === 2 && event.flags.has('\\Flagged')));
    await other.messageDelete('1', { uid: true });
    await until('the expunge', () => heard.expunge.some(event => event.uid === 1 && event.vanished));
    await other.logout();
    await client.noop();
    await idle;
}

// A client that was away: one that remembers a mod-sequence learns what happened meanwhile from SELECT.
async function resynchronised(client) {
    const known = { changedSince: client.mailbox.highestModseq, uidValidity: client.mailbox.uidValidity };
    await client.mailboxOpen('Projekt');
    const other = await connected({});
    await other.mailboxOpen('INBOX');
    await other.messageDelete('3', { uid: true });
    await other.messageFlagsAdd('5', ['$Later'], { uid: true });
    await other.logout();
    const gone = [], flagged = [];
    client.on('expunge', event => event.vanished && gone.push(event.uid));
    client.on('flags', event => flagged.push(event.uid));
    await client.mailboxOpen('INBOX', known);
    await until('what vanished', () => gone.includes(3));
    await until('what was flagged', () => flagged.includes(5));
}

async function corpus(client) {
    const sources = JSON.parse(readFileSync(asked.corpus)).map(text => Buffer.from(text, 'base64'));
    for (const source of sources) {
        await client.append('Projekt', source);
    }
    const lock = await client.getMailboxLock('Projekt');
    try {
        equal('all are there', client.mailbox.exists, sources.length + 3);
        const query = { uid: true, envelope: true, bodyStructure: true, size: true, source: true };
        let at = 0;
        for await (const one of client.fetch('4:*', query)) {
            equal('the octets', one.source.equals(sources[at]), true);
            equal('the size', one.size, one.source.length);
            assert.ok(one.bodyStructure.type, 'a structure');
            at += 1;
        }
        equal('every one was fetched', at, sources.length);
        const newest = await client.search({ all: true }, { uid: true, returnOptions: [{ partial: '-1:-10' }] });
        equal('the last ten', newest.partial.messages.length === 0, false);
    } finally {
        lock.release();
    }
}

async function believed(client) {
    const state = {};
    for (const { path } of await client.list()) {
        await client.mailboxOpen(path, { readOnly: true });
        state[path] = [];
        for await (const one of client.fetch('1:*', { uid: true, flags: true, source: true })) {
            const flags = [...one.flags].filter(flag => flag !== '\\Recent').sort();
            state[path].push([one.uid, flags, createHash('sha256').update(one.source).digest('hex')]);
        }
    }
    return state;
}

await connections();
const client = await connected({});
equal('compressed', client.enabled.has('COMPRESS') || [...spoken].includes('COMPRESS'), true);
await mailboxes(client);
await appends(client);
await fetches(client);
await changes(client);
await notices(client);
await resynchronised(client);
await corpus(client);
const state = await believed(client);
await client.logout();
console.log(JSON.stringify({ checks, state, spoken: [...spoken].sort() }));
