//! Where the data of `saga dev` lives.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use service::exit::Stop;
use tempfile::TempDir;
use uuid::Uuid;

/// Where the data lives.
#[derive(Args, Debug)]
#[command(next_help_heading = "Data")]
pub struct HomeArgs {
    /// The directory of the data; it is made if it is not there
    #[arg(long, env = "SAGA_DATA_DIR", value_name = "PATH", default_value = ".saga")]
    data_dir: PathBuf,

    /// Keep nothing, whatever the data directory: the data is gone with the process
    #[arg(long)]
    ephemeral: bool,
}

/// A data directory that is ours until we end.
pub struct Home {
    path: PathBuf,
    /// Held locked; the system lets go of it when the process ends, however it ends.
    _lock: File,
    /// Removed when it is dropped.
    temporary: Option<TempDir>,
}

impl Home {
    /// Opens the directory, for this process alone.
    ///
    /// # Errors
    /// If another process has it, or it cannot be made.
    pub fn open(args: &HomeArgs) -> Result<Self, Stop> {
        let temporary = if args.ephemeral {
            let made = tempfile::Builder::new().prefix("saga-dev-").tempdir();
            Some(made.map_err(|error| Stop::Failed(format!("cannot make a temporary directory: {error}")))?)
        } else {
            None
        };
        let path = temporary.as_ref().map_or_else(|| args.data_dir.clone(), |made| made.path().to_owned());
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Stop::Failed(format!(
                "cannot {what} the data directory {}: {error}; choose another --data-dir",
                path.display()
            ))
        };
        // For the owner's eyes alone: it holds what customers ordered, and the keys.
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(|error| failed("make", &error))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock"));
        let lock = lock.map_err(|error| failed("open", &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock, temporary }),
            Err(TryLockError::WouldBlock) => Err(failed("use", &"another saga dev is using it")),
            Err(TryLockError::Error(error)) => Err(failed("lock", &error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("saga.db")
    }

    /// The secret of the admin key: made the first time, kept from then on, for the owner's eyes alone.
    ///
    /// # Errors
    /// If it cannot be kept.
    pub fn admin_key(&self) -> Result<String, Stop> {
        let path = self.path.join("admin-key");
        let failed =
            |error: std::io::Error| Stop::Failed(format!("cannot keep the admin key in {}: {error}", path.display()));
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let kept = text.trim();
        if !kept.is_empty() {
            return Ok(kept.to_owned());
        }
        let made = Uuid::new_v4().simple().to_string();
        file.write_all(made.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        Ok(made)
    }
}
