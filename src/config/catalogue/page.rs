//! The pages docs/options/*.md, made from the tables.

use super::super::value::range;
use super::{Parameter, TABLES};

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
        text.push_str(&format!(
            "\n## `{}`\n\n{}\n\n* values: {}{unit}\n* default: {default}{whose}\n* takes effect: {}\n",
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
         does a relative one. Whether a parameter has an effect in this release, and what it waits for if not, is told by\n\
         `configutil -H -o NAME`.\n\n",
    );
    for (name, title, rows) in TABLES {
        text.push_str(&format!("* [{title}]({name}.md), {} entries\n", rows.len()));
    }
    text
}
