//! What the file says of itself: its schema, and under which secret its keys were made.
//!
//! A secret that Tollgate made is kept in the file, because without it nobody finds the counters again. One that the
//! operator gives is not: only a mark of it, which tells whether it is the same.

use std::path::Path;

use redb::{Database, Error, ReadableTable, TableDefinition};

use crate::limits::{KeyHasher, KeySecret};
use crate::store::durable::DataError;

const TABLE: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
/// How tables, keys and values are to be read. One that is lower is brought up to date at start.
const SCHEMA: u32 = 1;
const SCHEMA_KEY: &str = "schema";
const SECRET_KEY: &str = "secret";
const MARK_KEY: &str = "secret_mark";

/// What the file says of itself; nothing if it is new.
struct Meta {
    schema: Option<Vec<u8>>,
    secret: Option<Vec<u8>>,
    mark: Option<Vec<u8>>,
}

/// Makes sure that the file at `path` can be read by this version. Answers the secret under which its keys are made.
pub(super) fn agree(
    database: &Database,
    path: &Path,
    given: Option<KeySecret>,
) -> Result<KeySecret, DataError> {
    let meta = read(database).map_err(DataError::of(path))?;
    if meta.schema.is_none() {
        let secret = given.unwrap_or_else(KeySecret::random);
        begin(database, secret, given).map_err(DataError::of(path))?;
        return Ok(secret);
    }
    meta.check_schema(path)?;
    let kept = meta.secret.as_deref().and_then(|bytes| bytes.try_into().ok()).map(KeySecret);
    match given.or(kept) {
        Some(secret) if meta.mark.as_deref() == Some(&mark_of(secret)) => Ok(secret),
        _ => Err(DataError::OtherSecret { path: path.to_owned() }),
    }
}

impl Meta {
    fn check_schema(&self, path: &Path) -> Result<(), DataError> {
        let schema = self.schema.as_deref().and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
        match schema {
            Some(SCHEMA) => Ok(()),
            Some(found @ SCHEMA..) => Err(DataError::Newer { path: path.to_owned(), found, known: SCHEMA }),
            _ => Err(DataError::Damaged { path: path.to_owned(), problem: "it has no schema".to_owned() }),
        }
    }
}

fn read(database: &Database) -> Result<Meta, Error> {
    // A table that is not there yet is made by whoever may write.
    let writing = database.begin_write()?;
    let meta = {
        let table = writing.open_table(TABLE)?;
        let get = |key| Ok::<_, Error>(table.get(key)?.map(|value| value.value().to_vec()));
        Meta { schema: get(SCHEMA_KEY)?, secret: get(SECRET_KEY)?, mark: get(MARK_KEY)? }
    };
    writing.commit()?;
    Ok(meta)
}

fn begin(database: &Database, secret: KeySecret, given: Option<KeySecret>) -> Result<(), Error> {
    let writing = database.begin_write()?;
    {
        let mut table = writing.open_table(TABLE)?;
        table.insert(SCHEMA_KEY, &SCHEMA.to_le_bytes()[..])?;
        table.insert(MARK_KEY, &mark_of(secret)[..])?;
        if given.is_none() {
            table.insert(SECRET_KEY, &secret.0[..])?;
        }
    }
    Ok(writing.commit()?)
}

/// Tells a secret from others, and nothing about it.
fn mark_of(secret: KeySecret) -> [u8; 16] {
    let mut hasher = KeyHasher::new(secret);
    hasher.piece(b"data file");
    hasher.finish().to_le_bytes()
}
