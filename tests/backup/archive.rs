//! The archive: other readers of tar, damage, hostile members.

use std::process::Command;

use super::{file, furnish, picture, run_bytes, wipe};
use crate::instance::Instance;

#[test]
fn gnu_tar_and_python_read_it() {
    let it = Instance::new();
    furnish(&it);
    let archive = file(&it, "archive");
    it.run("imsbackup", &["-f", &archive, "/"]).ok();
    assert_eq!(std::fs::metadata(&archive).unwrap().len() % 10_240, 0);
    it.run("imsbackup", &["-b", "1", "-f", &archive, "/"]).ok();
    let out = Command::new("tar").args(["tvf", &archive]).env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
    let out = String::from_utf8(out.stdout).unwrap();
    assert!(out.contains("amy/msgstore") && out.contains(" primary/user/amy/Work/Entw"), "{out}");
    let link = "primary/user/bob/INBOX/1.eml link to primary/user/amy/INBOX/5.eml";
    assert!(out.contains(link), "{out}");
    let to = it.base().join("extracted");
    std::fs::create_dir(&to).unwrap();
    let done = Command::new("tar").args(["xf", &archive, "-C", to.to_str().unwrap()]).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    let extracted = std::fs::read(to.join("primary/user/bob/INBOX/1.eml")).unwrap();
    assert!(extracted == picture(&it, &["bob"]).0["user/bob/INBOX"].4[&1].text);
    let script = "import sys, tarfile\nt = tarfile.open(sys.argv[1])\nn = 0\nfor m in t:\n    n += 1\n    \
        if m.name == 'primary/user/amy/INBOX/10.eml':\n        x = m.pax_headers\n        p = 'SCHILY.xattr.user.msgstore.'\n        \
        print(x[p + 'uid'], x[p + 'flags'], x[p + 'keywords'], len(t.extractfile(m).read()) == m.size)\nprint(n)\n";
    let done = Command::new("python3").args(["-c", script, &archive]).output().unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    assert!(out.starts_with("10 \\Flagged \\Deleted \\Seen $Work plan True\n"), "{out} {:?}", done.stderr);
    let members = it.run("imsrestore", &["-t", "-f", &archive]).ok().lines().count();
    assert!(out.ends_with(&format!("\n{}\n", members + 1)), "{out} {members}");
}

#[test]
fn the_header_and_the_options_that_are_refused() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let archive = file(&it, "archive");
    it.run("imsbackup", &["-f", &archive, "-i", "joe"]).ok();
    let out = it.run("imsrestore", &["-h", "-f", &archive]).ok();
    assert!(out.contains("\"format\": 1") && out.contains("\"joe\"") && out.contains("\"ignoreLinks\": true"), "{out}");
    let code = |words: &[&str]| it.run("imsrestore", &[&["-f", &archive], words].concat()).code;
    assert_eq!(code(&["-r", "x"]), 64);
    assert_eq!(code(&["nobody"]), 66);
    assert_eq!(code(&["-a", "joe", "-v", "0"]), 0);
    assert_eq!(code(&["-m", "/no/such"]), 66);
    let sample = it.run("imsrestore", &["-f", "testdata/sample.mbox"]);
    assert!(sample.ended(65).1.contains("not an archive"));
    assert_eq!(it.run("imsrestore", &["-f", "/no/such"]).code, 66);
    assert_eq!(run_bytes(&it, "imsrestore", &["-f-"], b"").0, 65);
}

#[test]
fn damage_costs_what_it_hits() {
    let it = Instance::new();
    furnish(&it);
    let before = picture(&it, &["amy"]);
    let archive = file(&it, "archive");
    it.run("imsbackup", &["-f", &archive, "amy"]).ok();
    let whole = std::fs::read(&archive).unwrap();
    let find =
        |bytes: &[u8], from: usize| from + whole[from..].windows(bytes.len()).position(|part| part == bytes).unwrap();
    let inbox = |it: &Instance| picture(it, &["amy"]).0["user/amy/INBOX"].clone();
    // A header is overwritten, a body is changed, the end is cut off.
    let mut broken = whole.clone();
    let header = find(b"primary/user/amy/INBOX/40.eml\0", 0);
    broken[header..header + 512].fill(b'#');
    let body = find(b"Subject: 50\r\n", 0);
    broken[body] = b'x';
    let damaged = file(&it, "damaged");
    std::fs::write(&damaged, &broken).unwrap();
    it.run("imsrestore", &["--verify", "-f", &damaged]).ended(1);
    wipe(&it, &["amy"]);
    let (_, err) = it.run("imsrestore", &["-f", &damaged]).ended(1);
    assert!(err.contains("damaged") && err.contains("INBOX/51.eml") && err.contains("1 messages are missing"), "{err}");
    let now = inbox(&it);
    let mut wanted = before.0["user/amy/INBOX"].clone();
    wanted.4.retain(|uid, _| *uid != 40 && *uid != 51);
    assert!(now == wanted, "{:?}", now.4.keys());
    // The rest comes from the whole one, under new UIDs: theirs were passed.
    it.run("imsrestore", &["-f", &archive, "-v0"]).ok();
    assert_eq!(inbox(&it).4.len(), 126);
    for cut in [header + 100, body + 5, header + 512] {
        for piped in [false, true] {
            wipe(&it, &["amy"]);
            let part = &whole[..cut];
            std::fs::write(&damaged, part).unwrap();
            let (code, said) = match piped {
                true => run_bytes(&it, "imsrestore", &["-f-"], part),
                false => run_bytes(&it, "imsrestore", &["-f", &damaged], b""),
            };
            assert_eq!(code, 1, "{said}");
            assert!(said.contains("cut off"), "{said}");
            assert!(inbox(&it).4.len() >= 35, "{cut}");
        }
    }
    // A person who does not want to go on.
    std::fs::write(&damaged, &broken).unwrap();
    wipe(&it, &["amy"]);
    it.run("imsrestore", &["-f", &damaged, "-c", "n"]).ended(1);
    assert!(inbox(&it).4.len() < 60);
}

/// A header with a right checksum.
fn header(name: &str, kind: u8, size: &str, link: &str) -> Vec<u8> {
    let mut block = vec![0u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[124..124 + size.len()].copy_from_slice(size.as_bytes());
    block[148..156].fill(b' ');
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn hostile_archives_harm_nothing() {
    let it = Instance::new();
    it.accounts(&["joe"]);
    let archive = file(&it, "archive");
    it.run("imsbackup", &["-f", &archive, "joe"]).ok();
    let whole = std::fs::read(&archive).unwrap();
    let size = usize::from_str_radix(std::str::from_utf8(&whole[124..135]).unwrap(), 8).unwrap();
    let start = &whole[..512 + size.next_multiple_of(512)];
    let records = |text: &str| {
        let body = format!("{} {text}\n", text.len() + 4);
        let mut block = header("x", b'x', &format!("{:011o}", body.len()), "");
        block.extend(body.bytes());
        block.resize(1024, 0);
        block
    };
    let uid = records("SCHILY.xattr.user.msgstore.uid=4");
    let cases: Vec<Vec<u8>> = vec![
        header("/etc/passwd", b'0', "00000000000", ""),
        header("../../../../tmp/x.eml", b'0', "00000000000", ""),
        header("primary/user/../joe/1.eml", b'0', "00000000000", ""),
        header("primary/user/joe/INBOX/../../1.eml", b'0', "00000000000", ""),
        header("primary/user/joe/INBOX/1.eml", b'2', "00000000000", "/etc/passwd"),
        header("primary/user/joe/INBOX/1.eml", b'1', "00000000000", "/etc/passwd"),
        header("primary/user/joe/INBOX/1.eml", b'0', "77777777777", ""),
        header("primary/user/joe/INBOX/.folder.json", b'0', "77777777777", ""),
        header("primary/user/joe/INBOX/.folder.json", b'0', "00000000000", ""),
        header("x", b'x', "77777777777", ""),
        header("primary/user/joe/INBOX/1.eml", b'0', "9999", ""),
        [uid, header("primary/user/joe/INBOX/1.eml", b'0', "00000000005", ""), vec![0; 512]].concat(),
        [records("size=99999999999999999999"), header("primary/user/joe/INBOX/1.eml", b'0', "1", "")].concat(),
        [records("size=9223372036854775807"), header("primary/user/joe/INBOX/1.eml", b'0', "1", "")].concat(),
        vec![b'A'; 100_000],
        header("primary/user/joe/INBOX/1.eml", b'0', "00000000000", "").repeat(20_000),
    ];
    for (number, case) in cases.iter().enumerate() {
        let hostile = [start, case].concat();
        let (code, said) = run_bytes(&it, "imsrestore", &["-f-"], &hostile);
        assert_eq!(code, 1, "{number}: {}", &said[..said.len().min(2000)]);
        std::fs::write(&archive, &hostile).unwrap();
        for words in [&["-f", archive.as_str()][..], &["-f", &archive, "-t"], &["-f", &archive, "--verify"]] {
            let code = it.run("imsrestore", words).code;
            assert!(code == 1, "{number} {words:?}: {code}");
        }
    }
    assert!(it.uids("user/joe/INBOX").is_empty());
}
