//! Bearer tokens from files and programs (RFC 6750): what an OAuth helper keeps fresh.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::os;
use crate::sasl::Secret;

/// Longest token with what stands around it, bytes.
const MAX_OUTPUT: u64 = 64 * 1024;

/// How long a program may take.
const PROGRAM_TIME: Duration = Duration::from_secs(30);

/// A token is not used in the last moments of its life.
const MARGIN: Duration = Duration::from_secs(60);

/// Tokens that programs gave and that are still good.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<Vec<String>, Kept>>);

#[derive(Debug)]
struct Kept {
    token: Secret,
    until: Instant,
}

impl Tokens {
    /// Forgets all of them.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The token in a file.
    pub(super) async fn of_file(path: &Path) -> Result<Secret, String> {
        let failed = |reason: String| format!("cannot read token file: {}: {reason}", path.display());
        let read = async {
            let file = tokio::fs::File::open(path).await?;
            let mut bytes = Zeroizing::new(Vec::new());
            file.take(MAX_OUTPUT).read_to_end(&mut bytes).await?;
            Ok(bytes)
        };
        let bytes = read.await.map_err(|error: std::io::Error| failed(os::reason(&error)))?;
        parse(&bytes).map(|(token, _)| token).ok_or_else(|| failed("no token in it".to_owned()))
    }

    /// The token that a program prints, or printed a while ago.
    pub(super) async fn of_program(&self, words: &[String]) -> Result<Secret, String> {
        if let Some(token) = self.kept(words) {
            return Ok(token);
        }
        let name = words.first().map_or("", String::as_str);
        let failed = |reason: &str| format!("no token from program: {name}: {reason}");
        let output = match timeout(PROGRAM_TIME, run(words)).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(failed(&os::reason(&error))),
            Err(_) => return Err(failed("timeout")),
        };
        let (token, life) = parse(&output).ok_or_else(|| failed("no token in its output"))?;
        if let Some(until) = life.and_then(|life| Instant::now().checked_add(life.saturating_sub(MARGIN))) {
            let kept = Kept { token: token.clone(), until };
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(words.to_vec(), kept);
        }
        Ok(token)
    }

    fn kept(&self, words: &[String]) -> Option<Secret> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| Instant::now() < kept.until);
        kept.get(words).map(|kept| kept.token.clone())
    }
}

/// Runs a program, without a shell, and returns what it prints. It is killed when the time is over.
async fn run(words: &[String]) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let (program, arguments) = words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_OUTPUT).read_to_end(&mut output).await?;
    }
    let status = child.wait().await?;
    if status.success() { Ok(output) } else { Err(std::io::Error::other(status.to_string())) }
}

/// `token [seconds]` on the first line.
fn parse(bytes: &[u8]) -> Option<(Secret, Option<Duration>)> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let token = words.next().filter(|token| token.iter().all(u8::is_ascii_graphic))?;
    let seconds = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
    Some((Secret::new(token.to_vec()), seconds.map(Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[tokio::test]
    async fn a_program_is_asked_again_when_its_token_grows_old_or_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let count = directory.path().join("count");
        let script = |life: &str| {
            let path = count.display();
            words(&format!("echo x >> {path}; echo tok$(wc -l < {path}) {life}"))
        };
        let tokens = Tokens::default();
        let get = |life: &'static str| {
            let (tokens, words) = (&tokens, script(life));
            async move { String::from_utf8(tokens.of_program(&words).await.unwrap().expose().to_vec()).unwrap() }
        };
        assert_eq!((get("3600").await, get("3600").await), ("tok1".to_owned(), "tok1".to_owned()));
        tokens.forget();
        assert_eq!(get("3600").await, "tok2");
        assert_eq!((get("60").await, get("60").await), ("tok3".to_owned(), "tok4".to_owned()));
        assert_eq!((get("").await, get("").await), ("tok5".to_owned(), "tok6".to_owned()));
    }

    #[tokio::test]
    async fn what_gives_no_token_is_an_error_that_names_the_program_only() {
        let tokens = Tokens::default();
        let error = |script: &'static str| {
            let (tokens, words) = (&tokens, words(script));
            async move { tokens.of_program(&words).await.unwrap_err() }
        };
        assert_eq!(error("exit 3").await, "no token from program: /bin/sh: exit status: 3");
        assert_eq!(error("echo").await, "no token from program: /bin/sh: no token in its output");
        let missing = tokens.of_program(&["/nonexistent".to_owned()]).await.unwrap_err();
        assert_eq!(missing, "no token from program: /nonexistent: no such file or directory");
    }

    #[tokio::test]
    async fn a_file_holds_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let shown = path.display();
        let missing = format!("cannot read token file: {shown}: no such file or directory");
        assert_eq!(Tokens::of_file(&path).await.unwrap_err(), missing);
        std::fs::write(&path, "\n").unwrap();
        assert_eq!(
            Tokens::of_file(&path).await.unwrap_err(),
            format!("cannot read token file: {shown}: no token in it")
        );
        std::fs::write(&path, "ya29.tok\n").unwrap();
        assert_eq!(Tokens::of_file(&path).await.unwrap().expose(), b"ya29.tok");
    }
}
