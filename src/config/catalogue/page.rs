//! The pages docs/options/*.md, made from the tables.

use super::super::value::range;
use super::super::works::{Status, status};
use super::{Parameter, TABLES, all};

/// The page of one table, in Markdown: a section a parameter.
pub fn page(title: &str, rows: &[Parameter]) -> String {
    let mut text = format!("# {title}\n\nMade from the catalogue; [how to read it](README.md).\n");
    for row in rows {
        let unit = match row.unit {
            "" => String::new(),
            unit => format!(", in {unit}"),
        };
        let default = match row.default {
            "" => "none".to_owned(),
            default => format!("`{default}`"),
        };
        let whose = if row.has_own_default() { ", a choice of this product" } else { "" };
        let state = match status(row) {
            Status::Works => "works".to_owned(),
            Status::Inert(why) => format!("inert: {why}"),
        };
        text.push_str(&format!(
            "\n## `{}`\n\n{}\n\n* values: {}{unit}\n* default: {default}{whose}\n* takes effect: {}\n* state: {state}\n",
            row.name,
            row.doc,
            range(row.kind),
            row.effect.words(),
        ));
    }
    text
}

/// The page that lists the others.
pub fn index() -> String {
    let mut text = String::from(
        "# Parameters\n\nEvery parameter that `configutil` knows. The pages are made from the catalogue in `src/config/catalogue`;\n\
         `UPDATE_DOCS=1 cargo test --features failpoints option_pages` writes them again after a change there.\n\n\
         A part in angle brackets stands for a family. A path that begins with `msg_svr_base/` lies below the base directory, and so\n\
         does a relative one. A parameter *works*, or it is *inert*: `configutil` knows it, checks and keeps its value, and nothing reads\n\
         it; the reason stands with it, here and in `configutil -H -o NAME`.\n\n",
    );
    let documented = count(all().filter(|row| !row.is_ours()));
    let ours = count(all().filter(|row| row.is_ours()));
    text.push_str(&format!(
        "Of the {} documented parameters {} work and {} are inert; of the {} additions of this product {} work.\n\n",
        documented.0,
        documented.1,
        documented.0 - documented.1,
        ours.0,
        ours.1,
    ));
    for (name, title, rows) in TABLES {
        let (known, works) = count(rows.iter());
        text.push_str(&format!("* [{title}]({name}.md), {known} entries, {works} of them work\n"));
    }
    text
}

/// How many rows there are, and how many of them work.
fn count(rows: impl Iterator<Item = &'static Parameter>) -> (usize, usize) {
    rows.fold((0, 0), |(known, works), row| (known + 1, works + usize::from(status(row) == Status::Works)))
}
