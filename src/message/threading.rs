//! Threads of messages: ORDEREDSUBJECT and REFERENCES (RFC 5256 section 3). Nothing recurses, and n messages take n log n steps.

mod ancestry;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use ancestry::Ancestry;

/// Message-ids used of one message: of longer References fields the last ones.
const MAX_REFERENCES: usize = 200;
/// Longest Message-ID, octets: what a line holds (RFC 5322 section 2.1.1).
const MAX_ID: usize = 998;
const NONE: u32 = u32::MAX;

/// A message-id: the first 64 bits of the digest of its text. Two that are not the same would have to be made for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(u64);

impl MessageId {
    fn of(text: &[u8]) -> MessageId {
        MessageId::from_bytes(blake3::hash(text).as_bytes().first_chunk().copied().unwrap_or_default())
    }

    pub(super) fn from_bytes(bytes: [u8; 8]) -> MessageId {
        MessageId(u64::from_le_bytes(bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

/// What is to be known of a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Letter<'a> {
    /// Its sequence number or UID.
    pub number: u32,
    /// Its sent date (RFC 5256 section 2.2), seconds since 1970.
    pub sent_s: i64,
    /// Its base subject, folded; empty where there is none.
    pub subject: &'a [u8],
    /// It is a reply or a forwarded message.
    pub is_reply: bool,
    /// Its Message-ID.
    pub id: Option<MessageId>,
    /// The messages it refers to, the oldest first.
    pub references: &'a [MessageId],
}

/// The valid message-ids of a References, In-Reply-To or Message-ID value, without brackets and quotes: `<"a"@b>` and `<a@b>` are the same
/// (RFC 5256 section 3). Of many the last ones.
#[must_use]
pub fn message_ids(value: &[u8]) -> Vec<MessageId> {
    read_ids(value, MessageId::of)
}

/// What `each` makes of the texts of the ids.
fn read_ids<T>(value: &[u8], each: impl Fn(&[u8]) -> T) -> Vec<T> {
    let mut ids = Vec::new();
    let mut rest = value;
    while let Some(open) = memchr::memchr(b'<', rest) {
        rest = rest.get(open + 1..).unwrap_or_default();
        match message_id(rest) {
            Some((id, used)) => {
                ids.push(each(&id));
                rest = rest.get(used..).unwrap_or_default();
            }
            None => continue,
        }
    }
    if ids.len() > MAX_REFERENCES {
        ids.drain(..ids.len() - MAX_REFERENCES);
    }
    ids
}

/// The id that begins behind a `<`, and its octets with the `>`.
fn message_id(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut id = Vec::new();
    let (mut quoted, mut domain) = (false, false);
    let mut at = 0;
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        match byte {
            _ if at > MAX_ID => return None,
            b'"' if !domain => quoted = !quoted,
            b'\\' if quoted => {
                id.push(*bytes.get(at)?);
                at += 1;
            }
            _ if quoted => id.push(byte),
            b'>' => return (domain && id.last() != Some(&b'@')).then_some((id, at)),
            b'<' => return None,
            b' ' | b'\t' | b'\r' | b'\n' => {}
            b'@' if !domain => {
                if id.is_empty() {
                    return None;
                }
                domain = true;
                id.push(byte);
            }
            _ => id.push(byte),
        }
    }
}

/// A node of the tree: a message, or a dummy for one that is not there.
#[derive(Clone, Copy)]
struct Node {
    /// `None`: a dummy.
    letter: Option<Fields>,
    parent: u32,
    first_child: u32,
    last_child: u32,
    next: u32,
    before: u32,
}

#[derive(Clone, Copy)]
struct Fields {
    number: u32,
    /// Which one it was, of all that came: the order of sequence numbers.
    order: u32,
    sent_s: i64,
    /// 0: the empty one.
    subject: u32,
    is_reply: bool,
}

/// Subjects by number.
struct Subjects(HashMap<Box<[u8]>, u32>);

impl Subjects {
    fn new() -> Subjects {
        Subjects(HashMap::from([(Box::default(), 0)]))
    }

    fn number(&mut self, subject: &[u8]) -> u32 {
        if let Some(known) = self.0.get(subject) {
            return *known;
        }
        let next = u32::try_from(self.0.len()).unwrap_or(NONE);
        self.0.insert(subject.into(), next);
        next
    }
}

/// THREAD=ORDEREDSUBJECT.
pub struct BySubject {
    subjects: Subjects,
    letters: Vec<Fields>,
}

impl Default for BySubject {
    fn default() -> BySubject {
        BySubject { subjects: Subjects::new(), letters: Vec::new() }
    }
}

impl BySubject {
    /// Adds a message; they come in the order of their sequence numbers.
    pub fn push(&mut self, letter: &Letter<'_>) {
        let order = u32::try_from(self.letters.len()).unwrap_or(NONE);
        let subject = self.subjects.number(letter.subject);
        self.letters.push(Fields {
            number: letter.number,
            order,
            sent_s: letter.sent_s,
            subject,
            is_reply: letter.is_reply,
        });
    }

    /// The threads: each is the first message and, all of them its children, the others.
    #[must_use]
    pub fn finish(mut self) -> Threads {
        self.letters.sort_unstable_by_key(|letter| (letter.subject, letter.sent_s, letter.order));
        let mut groups: Vec<&[Fields]> = self.letters.chunk_by(|one, other| one.subject == other.subject).collect();
        groups.sort_unstable_by_key(|group| group.first().map(|letter| (letter.sent_s, letter.order)));
        let mut tree = Tree::new();
        for group in groups {
            let mut top = ROOT;
            for letter in group {
                let node = tree.add(Some(*letter));
                tree.append(node, top);
                if top == ROOT {
                    top = node;
                }
            }
        }
        Threads { tree, at: ROOT }
    }
}

const ROOT: u32 = 0;

/// Parents, and children in order.
struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    fn new() -> Tree {
        let mut tree = Tree { nodes: Vec::new() };
        tree.add(None);
        tree
    }

    fn add(&mut self, letter: Option<Fields>) -> u32 {
        self.nodes.push(Node { letter, parent: NONE, first_child: NONE, last_child: NONE, next: NONE, before: NONE });
        u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
    }

    fn at(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    fn of(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
    }

    fn is_dummy(&self, node: u32) -> bool {
        self.at(node).letter.is_none()
    }

    /// Makes a node the last child of another one.
    fn append(&mut self, node: u32, parent: u32) {
        let before = std::mem::replace(&mut self.of(parent).last_child, node);
        match before {
            NONE => self.of(parent).first_child = node,
            before => self.of(before).next = node,
        }
        let it = self.of(node);
        (it.parent, it.before, it.next) = (parent, before, NONE);
    }

    /// Takes a node with its children from its parent.
    fn remove(&mut self, node: u32) {
        let Node { parent, before, next, .. } = *self.at(node);
        if parent == NONE {
            return;
        }
        match before {
            NONE => self.of(parent).first_child = next,
            before => self.of(before).next = next,
        }
        match next {
            NONE => self.of(parent).last_child = before,
            next => self.of(next).before = before,
        }
        let it = self.of(node);
        (it.parent, it.before, it.next) = (NONE, NONE, NONE);
    }

    fn children(&self, node: u32) -> Vec<u32> {
        let there = |child: u32| (child != NONE).then_some(child);
        std::iter::successors(there(self.at(node).first_child), |at| there(self.at(*at).next)).collect()
    }

    /// Gives all children of one node to another one, behind its own.
    fn hand_over(&mut self, from: u32, to: u32) {
        for child in self.children(from) {
            self.remove(child);
            self.append(child, to);
        }
    }

    /// The order of siblings: by sent date, then by sequence number; of a dummy its first child counts.
    fn key(&self, node: u32) -> (i64, u32) {
        let first = if self.is_dummy(node) { self.at(node).first_child } else { node };
        let letter = if first == NONE { None } else { self.at(first).letter };
        letter.map_or((i64::MAX, NONE), |letter| (letter.sent_s, letter.order))
    }

    fn sort_children(&mut self, node: u32) {
        let mut children = self.children(node);
        if children.len() < 2 {
            return;
        }
        children.sort_by_cached_key(|child| self.key(*child));
        (self.of(node).first_child, self.of(node).last_child) = (NONE, NONE);
        for child in children {
            self.append(child, node);
        }
    }

    /// All nodes below the root, parents before their children.
    fn downward(&self) -> Vec<u32> {
        let mut order = self.children(ROOT);
        let mut at = 0;
        while let Some(node) = order.get(at).copied() {
            order.extend(self.children(node));
            at += 1;
        }
        order
    }
}

/// THREAD=REFERENCES. [`ByReferences::push`] is step 1 of the algorithm, [`ByReferences::finish`] the others.
pub struct ByReferences {
    subjects: Subjects,
    tree: Tree,
    ancestry: Ancestry,
    /// The node of a message-id.
    ids: HashMap<MessageId, u32>,
    count: u32,
}

impl Default for ByReferences {
    fn default() -> ByReferences {
        let mut ancestry = Ancestry::default();
        ancestry.push();
        ByReferences { subjects: Subjects::new(), tree: Tree::new(), ancestry, ids: HashMap::new(), count: 0 }
    }
}

impl ByReferences {
    /// Adds a message; they come in the order of their sequence numbers.
    pub fn push(&mut self, letter: &Letter<'_>) {
        let fields = Fields {
            number: letter.number,
            order: self.count,
            sent_s: letter.sent_s,
            subject: self.subjects.number(letter.subject),
            is_reply: letter.is_reply,
        };
        self.count = self.count.saturating_add(1);
        let node = self.place(letter.id, fields);
        // Step 1.A: each reference is the parent of the next one, unless that has a parent already.
        let mut parent = NONE;
        for id in letter.references.iter().copied() {
            let child = match self.ids.get(&id) {
                Some(known) => *known,
                None => {
                    let dummy = self.add(None);
                    self.ids.insert(id, dummy);
                    dummy
                }
            };
            if parent != NONE && self.tree.at(child).parent == NONE {
                self.link(child, parent);
            }
            parent = child;
        }
        // Step 1.B: the last one is the parent of the message, whatever was believed before.
        if self.tree.at(node).parent != NONE {
            self.tree.remove(node);
            self.ancestry.cut(node);
        }
        if parent != NONE {
            self.link(node, parent);
        }
    }

    /// The node for a message. An id that another message has already counts for that one alone.
    fn place(&mut self, id: Option<MessageId>, fields: Fields) -> u32 {
        let Some(id) = id else {
            return self.add(Some(fields));
        };
        match self.ids.get(&id).copied() {
            Some(known) if self.tree.is_dummy(known) => {
                self.tree.of(known).letter = Some(fields);
                known
            }
            Some(_) => self.add(Some(fields)),
            None => {
                let node = self.add(Some(fields));
                self.ids.insert(id, node);
                node
            }
        }
    }

    fn add(&mut self, letter: Option<Fields>) -> u32 {
        self.ancestry.push();
        self.tree.add(letter)
    }

    /// Makes a node without a parent a child, unless that made a loop.
    fn link(&mut self, child: u32, parent: u32) {
        // What has no children stands above nothing.
        let childless = self.tree.at(child).first_child == NONE && child != parent;
        if childless || self.ancestry.top(parent) != child {
            self.ancestry.link(child, parent);
            self.tree.append(child, parent);
        }
    }

    /// The threads.
    #[must_use]
    pub fn finish(self) -> Threads {
        let ByReferences { mut tree, .. } = self;
        // Step 2: what has no parent stands below the root.
        for node in 1..u32::try_from(tree.nodes.len()).unwrap_or(NONE) {
            if tree.at(node).parent == NONE {
                tree.append(node, ROOT);
            }
        }
        prune(&mut tree);
        // Step 4: of a dummy the children are sorted first.
        for top in tree.children(ROOT) {
            if tree.is_dummy(top) {
                tree.sort_children(top);
            }
        }
        tree.sort_children(ROOT);
        merge(&mut tree);
        // Step 6: the youngest siblings first, the threads last.
        for node in tree.downward().into_iter().rev() {
            tree.sort_children(node);
        }
        tree.sort_children(ROOT);
        Threads { tree, at: ROOT }
    }
}

/// Step 3: dummies go away and leave their place to their children; only several children of one at the top stay together below it.
fn prune(tree: &mut Tree) {
    // From below: what a dummy hands up was looked at before.
    for node in tree.downward().into_iter().rev() {
        let Node { letter: None, parent, first_child, last_child, .. } = *tree.at(node) else {
            continue;
        };
        if parent == ROOT && first_child != last_child {
            continue;
        }
        replace_by_children(tree, node, parent);
    }
}

/// Puts the children of a node into its place among its siblings, and takes the node away.
fn replace_by_children(tree: &mut Tree, node: u32, parent: u32) {
    let Node { before, next, first_child, last_child, .. } = *tree.at(node);
    if first_child == NONE {
        return tree.remove(node);
    }
    for child in tree.children(node) {
        tree.of(child).parent = parent;
    }
    tree.of(first_child).before = before;
    tree.of(last_child).next = next;
    match before {
        NONE => tree.of(parent).first_child = first_child,
        before => tree.of(before).next = first_child,
    }
    match next {
        NONE => tree.of(parent).last_child = last_child,
        next => tree.of(next).before = last_child,
    }
    let it = tree.of(node);
    (it.parent, it.before, it.next, it.first_child, it.last_child) = (NONE, NONE, NONE, NONE, NONE);
}

/// The message whose subject is that of a thread: the top, or the first child of a dummy.
fn head(tree: &Tree, top: u32) -> Option<Fields> {
    let node = if tree.is_dummy(top) { tree.at(top).first_child } else { top };
    if node == NONE { None } else { tree.at(node).letter }
}

/// Step 5: threads with the same base subject become one.
fn merge(tree: &mut Tree) {
    let is_reply = |tree: &Tree, node: u32| tree.at(node).letter.is_some_and(|letter| letter.is_reply);
    // 5.B: for each subject the thread that the others join: a dummy before all, then one that is no reply.
    let mut table: HashMap<u32, u32> = HashMap::new();
    for top in tree.children(ROOT) {
        let Some(subject) = head(tree, top).map(|letter| letter.subject).filter(|subject| *subject != 0) else {
            continue;
        };
        let held = table.entry(subject).or_insert(top);
        let better = tree.is_dummy(top) || (is_reply(tree, *held) && !is_reply(tree, top));
        if *held != top && !tree.is_dummy(*held) && better {
            *held = top;
        }
    }
    // 5.C
    for top in tree.children(ROOT) {
        let subject = head(tree, top).map(|letter| letter.subject);
        let Some(held) = subject.and_then(|subject| table.get_mut(&subject)) else {
            continue;
        };
        // One that has been put below another thread is no child of the root any more.
        if *held == top || tree.at(top).parent != ROOT {
            continue;
        }
        match (tree.is_dummy(*held), tree.is_dummy(top)) {
            (true, true) => {
                tree.hand_over(top, *held);
                tree.remove(top);
            }
            (true, false) => {
                tree.remove(top);
                tree.append(top, *held);
            }
            (false, _) if is_reply(tree, top) && !is_reply(tree, *held) => {
                tree.remove(top);
                tree.append(top, *held);
            }
            (false, _) => {
                let dummy = tree.add(None);
                let first = *held;
                tree.append(dummy, ROOT);
                for node in [first, top] {
                    tree.remove(node);
                    tree.append(node, dummy);
                }
                *held = dummy;
            }
        }
    }
}

/// Threads, ready to be written.
pub struct Threads {
    tree: Tree,
    /// The node that was written last.
    at: u32,
}

impl Threads {
    /// True when there is no message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tree.at(ROOT).first_child == NONE
    }

    /// Writes `(2)(3 6 (4 23)(44 7 96))` (RFC 5256 section 4, `thread-list`) until it is done or `out` has `enough` bytes. True: there is more.
    pub fn write(&mut self, out: &mut Vec<u8>, enough: usize) -> bool {
        while out.len() < enough {
            let node = *self.tree.at(self.at);
            if node.first_child != NONE {
                self.enter(node.first_child, out);
                continue;
            }
            // Back up to the next sibling.
            let mut at = self.at;
            loop {
                if at == ROOT {
                    return false;
                }
                let Node { parent, next, .. } = *self.tree.at(at);
                if self.is_list(at) {
                    out.push(b')');
                }
                if next != NONE {
                    self.enter(next, out);
                    break;
                }
                at = parent;
            }
        }
        true
    }

    fn enter(&mut self, node: u32, out: &mut Vec<u8>) {
        let Node { letter, parent, before, .. } = *self.tree.at(node);
        // A blank divides a number from what follows it: the only child, or the list of the first one.
        if before == NONE && parent != ROOT && !self.tree.is_dummy(parent) {
            out.push(b' ');
        }
        if self.is_list(node) {
            out.push(b'(');
        }
        if let Some(letter) = letter {
            out.extend_from_slice(letter.number.to_string().as_bytes());
        }
        self.at = node;
    }

    /// A thread, or one of several siblings, has parentheses of its own.
    fn is_list(&self, node: u32) -> bool {
        let Node { parent, before, next, .. } = *self.tree.at(node);
        parent == ROOT || before != NONE || next != NONE
    }
}
