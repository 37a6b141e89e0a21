use super::*;

/// Feeds `input` in pieces of `size` bytes and writes down what happens; messages are accepted.
fn run(limits: Limits, input: &[u8], size: usize, accept: bool) -> Vec<String> {
    let mut framer = Framer::new(limits);
    let mut seen = Vec::new();
    let mut message = Vec::new();
    for piece in input.chunks(size) {
        let mut rest = piece;
        loop {
            let (used, event) = framer.step(rest);
            rest = &rest[used..];
            match event {
                Event::More => break,
                Event::Continue => seen.push("+".into()),
                Event::Command(c) => seen.push(format!("cmd {}", String::from_utf8_lossy(&c))),
                Event::Line(c) => seen.push(format!("line {}", String::from_utf8_lossy(&c))),
                Event::Message { head, literal } => {
                    seen.push(format!("msg {} {} {}", String::from_utf8_lossy(&head), literal.size, literal.waits));
                    if accept {
                        framer.accept();
                    } else {
                        framer.refuse();
                    }
                }
                Event::Chunk(bytes) => message.extend_from_slice(bytes),
                Event::MessageEnd => {
                    seen.push(format!("end {}", String::from_utf8_lossy(&message)));
                    message.clear();
                }
                Event::AppendEnd { rest } => {
                    seen.push(format!("append-end {}", String::from_utf8_lossy(&rest)));
                }
                Event::Refused { tag, why } => seen.push(format!("refused {tag} {why}")),
                Event::Fatal => {
                    seen.push("fatal".into());
                    return seen;
                }
            }
        }
    }
    seen
}

fn all_sizes(limits: Limits, input: &[u8], accept: bool) -> Vec<String> {
    let whole = run(limits, input, input.len(), accept);
    for size in 1..input.len().min(40) {
        assert_eq!(run(limits, input, size, accept), whole, "pieces of {size}");
    }
    whole
}

const SMALL: Limits = Limits { line_bytes: 40, command_bytes: 60, swallow_bytes: 200 };

#[test]
fn lines_and_literals() {
    let seen = all_sizes(Limits::SESSION, b"a NOOP\r\nb LOGIN {3}\r\nfoo {4+}\r\nb\r\nr\r\nc NOOP\n", true);
    assert_eq!(seen, ["cmd a NOOP", "+", "cmd b LOGIN {3}\r\nfoo {4+}\r\nb\r\nr", "cmd c NOOP"]);
}

#[test]
fn append_is_streamed() {
    let seen =
        all_sizes(Limits::SESSION, b"a APPEND {5+}\r\nINBOX (\\Seen) {4}\r\nx\r\ny {2+}\r\nzz\r\nb NOOP\r\n", true);
    assert_eq!(
        seen,
        [
            "msg a APPEND {5+}\r\nINBOX (\\Seen)  4 true",
            "end x\r\ny",
            "msg   2 false",
            "end zz",
            "append-end ",
            "cmd b NOOP"
        ]
    );
}

#[test]
fn refused_append_does_not_desynchronise() {
    let seen = all_sizes(
        Limits::SESSION,
        b"a APPEND INBOX {4+}\r\nb X\n {3+}\r\nc Y\r\nd NOOP\r\ne APPEND INBOX {9}\r\nf NOOP\r\n",
        false,
    );
    assert_eq!(
        seen,
        [
            "msg a APPEND INBOX  4 false",
            "refused a Refused",
            "cmd d NOOP",
            "msg e APPEND INBOX  9 true",
            "refused e Refused",
            "cmd f NOOP"
        ]
    );
}

#[test]
fn limits_hold() {
    assert_eq!(all_sizes(SMALL, b"a LOGIN {61}\r\nb NOOP\r\n", true), ["refused a Literal too long", "cmd b NOOP"]);
    assert_eq!(
        all_sizes(
            SMALL,
            b"a LOGIN {5+}\r\nhello {50+}\r\n01234567890123456789012345678901234567890123456789\r\nb NOOP\r\n",
            true
        ),
        ["refused a Literal too long", "cmd b NOOP"]
    );
    let mut long = b"a SEARCH ".to_vec();
    long.extend_from_slice(&[b'x'; 60]);
    long.extend_from_slice(b" {3+}\r\nabc\r\nb NOOP\r\n");
    assert_eq!(all_sizes(SMALL, &long, true), ["refused a Command line too long", "cmd b NOOP"]);
    assert_eq!(all_sizes(SMALL, b"a LOGIN {999+}\r\n", true), ["fatal"]);
    assert_eq!(all_sizes(SMALL, b"a LOGIN {99999999999999999999999}\r\n", true), ["refused a Literal too long"]);
    assert_eq!(all_sizes(SMALL, b"a LOGIN {99999999999999999999999+}\r\n", true), ["fatal"]);
    let second = all_sizes(SMALL, b"a APPEND b {1+}\r\nx {99999999999999999999999}\r\n", true);
    assert_eq!(second.last().map(String::as_str), Some("refused a Literal too long"));
    assert_eq!(run(SMALL, &[b'x'; 500], 50, true), ["fatal"]);
}

#[test]
fn asked_for_lines_hold_no_literals() {
    let mut framer = Framer::new(SMALL);
    framer.expect_line();
    assert_eq!(framer.step(b"DONE {3}\r\n"), (10, Event::Line(b"DONE {3}".to_vec())));
    assert_eq!(framer.step(b"a X\r\n"), (5, Event::Command(b"a X".to_vec())));
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_in_any_pieces(input in proptest::collection::vec(proptest::sample::select(b"ab {}0123+~\r\n APPEND".to_vec()), 0..200), size in 1usize..20, accept: bool) {
        proptest::prop_assert_eq!(run(SMALL, &input, size, accept), run(SMALL, &input, 1, accept));
    }
}

#[test]
fn replace_has_a_message() {
    let seen = all_sizes(
        Limits::SESSION,
        b"a REPLACE 4 x (\\Seen) {3+}\r\nabc\r\nb uid replace * {1+}\r\nx ~{2}\r\nde\r\nc UID REPLACE {1+}\r\n1 x\r\n",
        true,
    );
    assert_eq!(
        seen,
        [
            "msg a REPLACE 4 x (\\Seen)  3 false",
            "end abc",
            "append-end ",
            "msg b uid replace * {1+}\r\nx  2 true",
            "end de",
            "append-end ",
            "cmd c UID REPLACE {1+}\r\n1 x",
        ]
    );
}
