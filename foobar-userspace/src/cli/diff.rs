//! `foobar diff` and `foobar save`: between what runs and the file that it came from.
//!
//! Who types it reads and writes the file, with his own rights; the daemon only hears of it.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Global, apply, output};
use crate::{
    api::{
        client::path,
        types::{ApplyFile, Refusal, Running, Safety},
        wire::Done,
    },
    config::{Config, Difference, edit},
};

#[derive(Args, Debug)]
pub struct Diff {
    /// The file; without one, that which was applied last
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Exit with 1 where there are differences
    #[arg(long)]
    exit_code: bool,
}

#[derive(Args, Debug)]
pub struct Save {
    /// The file; without one, that which was applied last
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Also if the file is another than it was when it was applied
    #[arg(long)]
    force: bool,
}

/// What is printed.
#[derive(Debug, serde::Serialize)]
struct Compared {
    file: PathBuf,
    /// What has to be done to the file's configuration to have the running one.
    difference: Difference,
    /// What runs and a file cannot say.
    unsaid: Vec<String>,
}

impl Diff {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let running: Running = global.client().get(&path(&["config"])).await?;
        let compared = compare(named(self.file, &running)?, &running)?;
        let name = compared.file.display().to_string();
        say_unsaid(&compared.unsaid);
        if compared.difference.is_empty() && !global.json {
            output::say(&format!("what runs is what {name} says"));
        } else {
            output::either(global.json, &compared, || {
                format!("--- {name}\n+++ running\n{}", compared.difference.lines().join("\n"))
            })?;
        }
        if self.exit_code && !compared.difference.is_empty() {
            return Err(Refusal::refused(format!("what runs is not what {name} says"))
                .hint("`foobar save` writes what runs; `foobar apply FILE` goes back to the file"));
        }
        Ok(())
    }
}

fn compare(file: PathBuf, running: &Running) -> Result<Compared, Refusal> {
    let (said, _) = Config::load(&file)?.as_file();
    let (runs, unsaid) = running.config.as_file();
    Ok(Compared { difference: Difference::between(&said, &runs), file, unsaid })
}

fn named(file: Option<PathBuf>, running: &Running) -> Result<PathBuf, Refusal> {
    file.or_else(|| running.source.clone()).ok_or_else(|| {
        Refusal::refused("what runs did not come from a file").hint("name one: `foobar diff FILE`, `foobar save FILE`")
    })
}

fn say_unsaid(unsaid: &[String]) {
    for sentence in unsaid {
        output::say(&format!("not in a file: {sentence}"));
    }
}

impl Save {
    pub async fn run(self, global: &Global) -> Result<(), Refusal> {
        let client = global.client();
        let running: Running = client.get(&path(&["config"])).await?;
        let file = named(self.file, &running)?;
        // A link stays one: what it names is written.
        let file = file.canonicalize().unwrap_or(file);
        let text = match fs::metadata(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            _ => apply::read(&file)?.text,
        };
        if !self.force && !text.is_empty() && running.file.as_ref() != Some(&text) {
            let name = file.display();
            return Err(Refusal::refused(format!("{name} is not as it was when it was applied")).hint(format!(
                "`foobar diff {name}` shows what is other than what runs; `--force` writes that into it"
            )));
        }
        let saved = edit::save(&text, &running.config)?;
        let before = if text.is_empty() { Config::default() } else { Config::parse(&text, "")?.as_file().0 };
        let (runs, unsaid) = running.config.as_file();
        if saved != text {
            replace(&file, &saved)?;
        }
        let path_ = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
        let request = ApplyFile { text: saved, path: path_, safety: Safety::default() };
        let _: Done = client.post(&path(&["saved"]), &request).await?;
        say_unsaid(&unsaid);
        let difference = Difference::between(&before, &runs);
        output::either(global.json, &Compared { file: file.clone(), difference: difference.clone(), unsaid }, || {
            match difference.lines().as_slice() {
                [] => format!("{} says already what runs", file.display()),
                lines => format!("{} is written:\n{}", file.display(), lines.join("\n")),
            }
        })
    }
}

/// Writes a file whole, or leaves it: with the owner and the rights of the one that it replaces.
fn replace(path: &Path, text: &str) -> Result<(), Refusal> {
    let done = write_beside(path, text);
    done.map_err(|error| {
        Refusal::refused(format!("{} cannot be written: {error}", path.display()))
            .hint("the file is as it was; name another one: foobar save FILE")
    })
}

fn write_beside(path: &Path, text: &str) -> std::io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = path.with_file_name(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        let mut file = File::options().write(true).create_new(true).open(&fresh)?;
        if let Ok(old) = fs::metadata(path) {
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
            // Only root can give a file away.
            if old.uid() != file.metadata()?.uid() || old.gid() != file.metadata()?.gid() {
                chown(&fresh, Some(old.uid()), Some(old.gid()))?;
            }
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    if written.is_err() {
        // What was begun is of no use.
        let _ = fs::remove_file(&fresh);
        return written;
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_rights() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("foobar.toml");
        fs::write(&path, "old").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        replace(&path, "new").expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("read"), "new");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "nothing is left beside it");

        let refusal = replace(&dir.path().join("none/foobar.toml"), "new").expect_err("no such directory");
        assert!(refusal.hint.is_some(), "{refusal}");
    }
}
