//! `k8smgr user`: the users of the API, straight in the database. Passwords never come from the command line.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;

use anyhow::{Context, anyhow, ensure};
use clap::{Args, Subcommand};
use secrecy::{ExposeSecret, SecretString};

use super::settings::{database_url, load_config};
use crate::auth::{AccountChange, CHANGES_COUNT_WITHIN, DEFAULT_LABEL, NewAccount, UserError, Users};
use crate::config::{Environment, SecretUrl};
use crate::domain::group::Group;
use crate::store::Store;

#[derive(Debug, Args)]
pub struct UserArguments {
    /// The configuration file; without it CONFIG_PATH, else `config.json` in the working directory, where there is one.
    #[arg(long)]
    config: Option<PathBuf>,
    /// sqlite:///path or postgres://user:password@host/database; comes before DATABASE_URL, SQL_* and `database_url` of
    /// the configuration.
    #[arg(long)]
    database_url: Option<SecretUrl>,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; asks for the password, or reads it as one line from standard input.
    Add {
        /// The login of the new user, a hub or an operator.
        name: String,
        /// access_to_webservice (hubs: start, poll and stop services) or access_to_logging (change log handlers); may be
        /// given more than once.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<Group>,
        /// Make a superuser, who may do everything and needs no groups.
        #[arg(long)]
        superuser: bool,
        /// Add the user without a password: only tokens let it in.
        #[arg(long, conflicts_with = "password_env")]
        no_password: bool,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List all users with their groups and the labels of their tokens.
    List,
    /// Change a user's password; asks for it, or reads it as one line from standard input.
    Passwd {
        /// The user's login.
        name: String,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Make a token for a user and print it, once: it cannot be shown again. Or import or revoke one.
    Token {
        /// The user's login.
        name: String,
        /// The label that tells the tokens of a user apart.
        #[arg(long, default_value = DEFAULT_LABEL)]
        label: String,
        /// Take over a token, from the prompt or as one line from standard input, in place of making one.
        #[arg(long, conflicts_with = "revoke")]
        import: bool,
        /// Revoke the token of this label.
        #[arg(long)]
        revoke: bool,
    },
    /// Let a deactivated user in again.
    Activate {
        /// The user's login.
        name: String,
    },
    /// Keep a user out; its tokens, groups and services stay.
    Deactivate {
        /// The user's login.
        name: String,
    },
    /// Add a user to a group.
    Grant {
        /// The user's login.
        name: String,
        /// access_to_webservice or access_to_logging.
        group: Group,
    },
    /// Take a user out of a group.
    Revoke {
        /// The user's login.
        name: String,
        /// access_to_webservice or access_to_logging.
        group: Group,
    },
    /// Delete a user and its tokens. Refused while it has services.
    Delete {
        /// The user's login.
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct PasswordSource {
    /// Take the password from this environment variable.
    #[arg(long, value_name = "VARIABLE")]
    password_env: Option<String>,
}

/// Carries a command out and prints what it has to say.
pub async fn run(arguments: UserArguments) -> anyhow::Result<()> {
    let environment = Environment::read()?;
    let config = load_config(arguments.config.as_deref(), &environment)?;
    let database_url = database_url(arguments.database_url, &environment, &config)?;
    let store = Store::connect(&database_url).await.with_context(|| format!("database {database_url}"))?;
    let text = execute(arguments.command, &store, ask).await?;
    let mut output = std::io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).context("failed to write the answer")
}

/// `ask` gets a question and whether the answer is to be repeated.
async fn execute(
    command: UserCommand,
    store: &Store,
    ask: impl Fn(&str, bool) -> anyhow::Result<SecretString>,
) -> anyhow::Result<String> {
    let users = Users::new(store.clone());
    let soon = format!("running servers follow within {} s", CHANGES_COUNT_WITHIN.as_secs());
    match command {
        UserCommand::Add { name, groups, superuser, no_password, password } => {
            let credential = users.free_name(&name).await.map_err(with_hint)?;
            let password = match no_password {
                true => None,
                false => Some(password.read(&name, ask)?),
            };
            let groups = BTreeSet::from_iter(groups);
            let account = NewAccount { name: credential, password, is_superuser: superuser, groups };
            users.add(account).await.map_err(with_hint)?;
            Ok(format!("Added user {name}\n"))
        }
        UserCommand::List => list(&users).await,
        UserCommand::Passwd { name, password } => {
            users.find(&name).await.map_err(with_hint)?;
            let password = Some(password.read(&name, ask)?);
            change(&users, &name, AccountChange { password, ..AccountChange::default() }).await?;
            Ok(format!("Changed the password of {name}; {soon}\n"))
        }
        UserCommand::Token { name, label, revoke: true, .. } => {
            users.revoke_token(&name, &label).await.map_err(with_hint)?;
            Ok(format!("Revoked the token {label} of {name}; {soon}\n"))
        }
        UserCommand::Token { name, label, import, .. } => token(&users, &name, &label, import, ask).await,
        UserCommand::Activate { name } => {
            change(&users, &name, AccountChange { is_active: Some(true), ..AccountChange::default() }).await?;
            Ok(format!("Activated user {name}\n"))
        }
        UserCommand::Deactivate { name } => {
            change(&users, &name, AccountChange { is_active: Some(false), ..AccountChange::default() }).await?;
            Ok(format!("Deactivated user {name}; {soon}\n"))
        }
        UserCommand::Grant { name, group } => {
            users.grant(&name, group).await.map_err(with_hint)?;
            Ok(format!("Added {name} to {group}; {soon}\n"))
        }
        UserCommand::Revoke { name, group } => {
            users.revoke(&name, group).await.map_err(with_hint)?;
            Ok(format!("Took {name} out of {group}; {soon}\n"))
        }
        UserCommand::Delete { name } => {
            users.delete(&name).await.map_err(with_hint)?;
            Ok(format!("Deleted user {name}; {soon}\n"))
        }
    }
}

/// Says what to do about it on the command line.
fn with_hint(error: UserError) -> anyhow::Error {
    let hint = match &error {
        UserError::Exists(_) => "change it with passwd, grant, revoke, token",
        UserError::NotFound(_) => "`k8smgr user list` shows all",
        UserError::LabelTaken { .. } => "give another --label, or --revoke it first",
        _ => return error.into(),
    };
    anyhow!("{error}; {hint}")
}

async fn change(users: &Users, name: &str, change: AccountChange) -> anyhow::Result<()> {
    users.change(name, change).await.map_err(with_hint)
}

async fn token(
    users: &Users,
    name: &str,
    label: &str,
    import: bool,
    ask: impl Fn(&str, bool) -> anyhow::Result<SecretString>,
) -> anyhow::Result<String> {
    users.check_label(name, label).await.map_err(with_hint)?;
    let imported = match import {
        true => Some(ask(&format!("Token for {name}: "), false)?),
        false => None,
    };
    let token = users.add_token(name, label, imported.as_ref()).await.map_err(with_hint)?;
    match import {
        true => Ok(format!("Imported the token {label} of {name}\n")),
        false => Ok(format!("{}\n", token.expose_secret())),
    }
}

async fn list(users: &Users) -> anyhow::Result<String> {
    let mut rows = vec![["NAME", "ACTIVE", "SUPERUSER", "PASSWORD", "GROUPS", "TOKENS"].map(str::to_owned)];
    for (user, tokens) in users.list().await? {
        let yes = |value: bool| if value { "yes" } else { "no" }.to_owned();
        let groups: Vec<&str> = user.groups.iter().map(|it| it.as_str()).collect();
        let tokens: Vec<String> = tokens.into_iter().map(|it| it.label).collect();
        rows.push([
            user.name.to_string(),
            yes(user.is_active),
            yes(user.is_superuser),
            yes(user.password_hash.is_some()),
            groups.join(","),
            tokens.join(","),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let cell = if cell.is_empty() { "-" } else { cell };
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    Ok(text)
}

impl PasswordSource {
    fn read(
        &self,
        name: &str,
        ask: impl Fn(&str, bool) -> anyhow::Result<SecretString>,
    ) -> anyhow::Result<SecretString> {
        match &self.password_env {
            Some(variable) => std::env::var(variable)
                .map(SecretString::from)
                .with_context(|| format!("failed to read the environment variable {variable}")),
            None => ask(&format!("Password for {name}: "), true),
        }
    }
}

/// Asks on a terminal without echo; else takes one line of standard input.
fn ask(question: &str, twice: bool) -> anyhow::Result<SecretString> {
    let prompt = |text: &str| rpassword::prompt_password(text).map(SecretString::from).context("failed to ask");
    if std::io::stdin().is_terminal() {
        let answer = prompt(question)?;
        if twice {
            let again = prompt("Once more: ")?;
            ensure!(answer.expose_secret() == again.expose_secret(), "the two differ");
        }
        return Ok(answer);
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).context("failed to read standard input")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(SecretString::from(line.strip_suffix('\r').unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::auth::Authenticator;
    use crate::store::DatabaseUrl;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: UserCommand,
    }

    struct TestCli {
        store: Store,
        _folder: tempfile::TempDir,
    }

    impl TestCli {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let url = DatabaseUrl::sqlite(&folder.path().join("k8smgr.sqlite3")).unwrap();
            Self { store: Store::connect(&url).await.unwrap(), _folder: folder }
        }

        /// The output, or the error as it is printed; `answer` is what is typed.
        async fn run(&self, line: &str, answer: &'static str) -> String {
            let command =
                Line::try_parse_from(["user"].into_iter().chain(line.split(' '))).map_err(|it| it.to_string());
            match command {
                Ok(line) => match execute(line.command, &self.store, |_, _| Ok(answer.into())).await {
                    Ok(text) => text,
                    Err(error) => format!("{error:#}"),
                },
                Err(text) => text,
            }
        }

        async fn logs_in(&self, header: &str) -> bool {
            let address = std::net::Ipv4Addr::LOCALHOST.into();
            Authenticator::new(self.store.clone()).authenticate(Some(header.as_bytes()), address).await.is_ok()
        }
    }

    #[tokio::test]
    async fn users_are_added_and_listed() {
        let cli = TestCli::new().await;
        let add = "add hub --group access_to_webservice --group access_to_logging";
        assert_eq!(cli.run(add, "jhubpw").await, "Added user hub\n");
        assert!(cli.run("add hub", "x").await.starts_with("user `hub` exists already"));
        assert_eq!(cli.run("add root --superuser --no-password", "").await, "Added user root\n");
        assert_eq!(cli.run("add empty", "").await, "the password is empty");
        assert!(cli.run("add a/b", "x").await.starts_with("`a/b` is no user name: Use letters"));
        assert!(cli.run("add x --group everything", "x").await.contains("unknown group `everything`"));
        assert!(cli.run("add x --password-env K8SMGR_NOT_SET", "x").await.contains("K8SMGR_NOT_SET"));
        assert!(cli.logs_in("Basic aHViOmpodWJwdw==").await);
        cli.run("token hub --label ci", "").await;
        insta::assert_snapshot!(cli.run("list", "").await, @r"
        NAME  ACTIVE  SUPERUSER  PASSWORD  GROUPS                                  TOKENS
        hub   yes     no         yes       access_to_webservice,access_to_logging  ci
        root  yes     yes        no        -                                       -
        ");
    }

    #[tokio::test]
    async fn users_are_changed_and_deleted() {
        let cli = TestCli::new().await;
        cli.run("add hub", "old").await;
        assert_eq!(
            cli.run("passwd hub", "jhubpw").await,
            "Changed the password of hub; running servers follow within 2 s\n"
        );
        assert!(cli.logs_in("Basic aHViOmpodWJwdw==").await);
        assert!(cli.run("deactivate hub", "").await.starts_with("Deactivated user hub;"));
        assert!(!cli.logs_in("Basic aHViOmpodWJwdw==").await);
        assert_eq!(cli.run("activate hub", "").await, "Activated user hub\n");
        cli.run("grant hub access_to_logging", "").await;
        assert!(cli.run("list", "").await.contains("access_to_logging"));
        cli.run("revoke hub access_to_logging", "").await;
        assert!(!cli.run("list", "").await.contains("access_to_logging"));
        assert!(cli.run("delete hub", "").await.starts_with("Deleted user hub;"));
        for command in ["passwd hub", "deactivate hub", "grant hub access_to_logging", "delete hub", "token hub"] {
            assert_eq!(cli.run(command, "x").await, "there is no user `hub`; `k8smgr user list` shows all");
        }
    }

    #[tokio::test]
    async fn tokens_are_made_imported_and_revoked() {
        let cli = TestCli::new().await;
        cli.run("add hub --no-password", "").await;
        let made = cli.run("token hub", "").await;
        assert!(cli.logs_in(&format!("token {}", made.trim())).await, "{made}");
        assert!(cli.run("token hub", "").await.starts_with("user `hub` has a token labelled `default`"));
        let old = "b1a3d3b531cdde047d01ec8a27b92c267005b8b5";
        assert_eq!(cli.run("token hub --import --label old", old).await, "Imported the token old of hub\n");
        assert_eq!(cli.run("token hub --import --label again", old).await, "somebody has this token already");
        assert!(cli.run("token hub --import --label short", "abc").await.starts_with("a token is 32 to 255"));
        assert!(cli.logs_in(&format!("token {old}")).await);
        assert!(cli.run("token hub --revoke --label old", "").await.starts_with("Revoked the token old of hub;"));
        assert!(!cli.logs_in(&format!("token {old}")).await);
        assert_eq!(cli.run("token hub --revoke --label old", "").await, "user `hub` has no token labelled `old`");
    }
}
