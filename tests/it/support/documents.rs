//! The documents of the package: their chapters, blocks and links.
//!
//! A block between fences says behind the first fence what it is, and what becomes of it:
//!
//! | word | the block is | and is |
//! |---|---|---|
//! | `sh` | commands | run in a booted container, chapter by chapter, each on a machine as after the installation |
//! | `conf` | lines of `emailrelay.conf` | checked by `emailrelay --check`, or by the program named behind the word |
//! | `auth` | lines of a secrets file | read |
//! | `ini UNIT` | a drop-in for that unit | loaded by systemd |
//! | `console: reason` | commands that cannot be run here, and why not | counted |
//! | `text` | what is seen | left alone |

use std::fs;
use std::path::{Path, PathBuf};

use super::package;

/// A document by its path below the package, or below the top of an installation.
pub(crate) struct Document {
    pub(crate) name: String,
    path: PathBuf,
    text: String,
}

/// A block between fences.
pub(crate) struct Block {
    pub(crate) document: String,
    /// Of the first fence.
    pub(crate) line: usize,
    /// The heading of the second level that it stands under.
    pub(crate) chapter: String,
    /// The first word behind the fence.
    pub(crate) kind: String,
    /// What follows that word.
    pub(crate) argument: String,
    pub(crate) text: String,
}

impl Block {
    /// For messages: where it is.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.document, self.line)
    }
}

/// All documents with blocks that are held to the rules above.
pub(crate) fn all() -> Vec<Document> {
    let mut paths = vec![package().join("README.md"), package().join("SECURITY.md")];
    let docs = fs::read_dir(package().join("docs")).unwrap().flatten().map(|entry| entry.path());
    paths.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    paths.sort();
    paths.iter().map(|path| Document::read(path)).collect()
}

/// The blocks of one kind in all documents.
pub(crate) fn blocks(kind: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = all().iter().flat_map(Document::blocks).collect();
    blocks.retain(|block| block.kind == kind);
    blocks
}

impl Document {
    pub(crate) fn read(path: &Path) -> Self {
        Self::read_below(package(), path)
    }

    pub(crate) fn read_below(top: &Path, path: &Path) -> Self {
        let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
        Self {
            name,
            path: path.to_owned(),
            text: fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        }
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        let mut chapter = String::new();
        for (index, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(""), Some(_)) => blocks.extend(open.take()),
                (Some(info), None) => open = Some(self.open(index + 1, &chapter, info)),
                (_, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {
                    if let Some(title) = line.strip_prefix("## ") {
                        title.clone_into(&mut chapter);
                    }
                }
            }
        }
        assert!(open.is_none(), "{}: a block does not end", self.name);
        blocks
    }

    fn open(&self, line: usize, chapter: &str, info: &str) -> Block {
        let (kind, argument) = info.split_once([' ', ':']).unwrap_or((info, ""));
        Block {
            document: self.name.clone(),
            line,
            chapter: chapter.to_owned(),
            kind: kind.to_owned(),
            argument: argument.trim().to_owned(),
            text: String::new(),
        }
    }

    /// The lines outside of blocks, with their numbers.
    pub(crate) fn prose(&self) -> Vec<(usize, &str)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (index, line) in self.text.lines().enumerate() {
            let fence = line.starts_with("```");
            inside ^= fence;
            if !inside && !fence {
                prose.push((index + 1, line));
            }
        }
        prose
    }

    /// What its headings are called in links, as the usual viewers make it.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
        headings.map(|(_, line)| slug(line.trim_start_matches('#').trim())).collect()
    }

    /// The targets of its links, with their lines.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            // Every second part stands between backticks.
            let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
            for part in plain.split("](").skip(1) {
                links.push((number, part.split(')').next().unwrap_or_default().to_owned()));
            }
        }
        links
    }

    /// The file and the anchor that a link leads to.
    pub(crate) fn target(&self, link: &str) -> (PathBuf, Option<String>) {
        let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
        let own = &self.path;
        let file = if file.is_empty() { own.clone() } else { own.parent().unwrap().join(file) };
        (file, anchor.map(str::to_owned))
    }
}

fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|char| char.is_alphanumeric() || [' ', '-', '_'].contains(char));
    kept.map(|char| if char == ' ' { '-' } else { char.to_ascii_lowercase() }).collect()
}
