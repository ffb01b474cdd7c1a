//! Every kind of finding: its code, how bad it is, what it means and what to do. `docs/check.md` is made from this.

use super::finding::Severity;

macro_rules! codes {
    ($($name:ident $code:literal $severity:ident $meaning:literal $remedy:literal)*) => {
        /// What a finding is about. The code is stable: scripts may look for it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($name),* }

        impl Code {
            pub const ALL: &[Code] = &[$(Code::$name),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code),* }
            }

            /// As a rule; a single finding may be milder.
            pub fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity),* }
            }

            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning),* }
            }

            pub fn remedy(self) -> &'static str {
                match self { $(Code::$name => $remedy),* }
            }
        }
    };
}

codes! {
    // The configuration.
    ConfigSyntax "config-syntax" Error
        "config.json is no JSON." "Correct it at the place that is told; nothing else was checked."
    ConfigValue "config-value" Error
        "A value of config.json is of the wrong type or out of range." "See docs/configuration.md; nothing else was checked."
    ConfigUnknownKey "config-unknown-key" Warning
        "A key of config.json is not known and is ignored." "Correct its spelling, or remove it."
    StageNeverMatches "stage-never-matches" Error
        "A stage is written with capitals. STAGE is made lower-case, so that it never matches."
        "Write it in lower case."
    PatternMatchesNothing "pattern-matches-nothing" Warning
        "A name or pattern of files to leave out cannot match anything, or matches no file."
        "Correct it: patterns are for the name of one file or folder, without a path. Or remove it."
    MappingLeadsNowhere "mapping-leads-nowhere" Error
        "services.credential_mapping sends a credential to a folder that is not there."
        "Correct the name, or make the folder."
    EnvironmentKey "environment-key" Error
        "A key of services.env or custom_headers_keys cannot be a key of a Secret: every start would be refused."
        "Use letters, digits, `-`, `_` and `.`, at most 253 characters."
    KeywordUnused "keyword-unused" Warning
        "An own keyword of services.replace is in no description that it holds for." "Remove it, or correct its spelling."
    KeywordShadowed "keyword-shadowed" Warning
        "An own keyword of services.replace has the name of a built-in one, which is replaced first: it is never used."
        "Give it another name."
    UserWithoutGroup "user-without-group" Warning
        "A user of startup.create_user is in no group and may use nothing."
        "Add access_to_webservice for a hub, access_to_logging for who changes log handlers."
    LogHandler "log-handler" Error
        "A log handler that is stored in the database cannot work: what it should write is lost."
        "Change it over the API, or let it write there: logs.directories, logs.targets."
    CryptKeys "crypt-keys" Error
        "K8SMGR_CRYPT_KEYS or the file of K8SMGR_CRYPT_KEYS_FILE holds no keys that can be used: `serve` refuses to start."
        "Give the base64 of 32 bytes a key, as `openssl rand -base64 32` makes it."
    CredentialWithoutDescriptions "credential-without-descriptions" Warning
        "A hub of startup.create_user has no folder of descriptions: all its starts are refused."
        "Make the folder, or map the credential to another one's in services.credential_mapping."
    RulesFile "rules-file" Error
        "flavors_file or credits_file cannot be read or is malformed: at a reload the last good version stays, at a start of K8s Manager starts that need it are refused."
        "Correct it at the place that is told."
    RulesMissing "rules-missing" Warning
        "flavors_file or credits_file is not there: nothing is limited." "Mount or write the file, or remove the key."
    RulesWithoutEffect "rules-without-effect" Warning
        "Something in flavors_file or credits_file is ignored: a key that is not known, a name that is not there, a set that is nobody's."
        "Correct its spelling, or remove it."
    // Around the descriptions.
    HubUrl "hub-url" Error
        "The restart_url of a hub is no http or https URL." "Correct it: the notice of a restart cannot be sent."
    HubHostname "hub-hostname" Warning
        "A hub that is to be told of a restart gets no hostname, by which it knows this K8s Manager." "Set hostname."
    HubCertificate "hub-certificate" Error
        "The certificate_path of a hub cannot be read or holds no certificate in PEM."
        "Correct the path, or mount the file; without it the certificate authorities of the system are trusted."
    HubUnverified "hub-unverified" Warning
        "certificate_path of a hub is false: TLS is not verified, and whoever is in between reads the credentials."
        "Name a file with the hub's certificate authority, or remove certificate_path for those of the system."
    HubUnknown "hub-unknown" Warning
        "A key of hubs or outpost is the login of no hub: it has no effect." "Correct its spelling, or remove it."
    OutpostDescription "outpost-description" Error
        "A description that outpost names as a default or by profile is not there: starts that get it are refused."
        "Make the description, or name one that is there, as a path beneath those of the hub."
    HubCredentials "hub-credentials" Warning
        "The credentials for a hub (the variable that cred_env_name names, else TUNNELSVC_K8SMGR_USER_TOKEN or _PASSWORD) are not set here: it is not told of a restart."
        "Set it where K8s Manager runs. Where this check runs elsewhere, set it to anything."
    FlavorsToken "flavors-token" Warning
        "The token for flavor updates that outpost.<login> names cannot be read here: starts that bring none of their own tell the hub nothing."
        "Set the variable or mount the file where K8s Manager runs. Where this check runs elsewhere, set it to anything."
    CleanupLists "cleanup-lists" Warning
        "JUPYTERHUB_CLEANUP_NAMES, _URLS and _TOKENS do not fit together, or name a hub that is not known: nothing is cleaned up for it."
        "Give all three the same number of entries, separated by semicolons: logins of hubs, URLs of their lists, tokens."
    TlsFile "tls-file" Error
        "A file of tls cannot be read or does not hold what it should: certificates, or a key without a passphrase, in PEM."
        "Do what the message says: K8s Manager would not start."
    TlsKeyMismatch "tls-key-mismatch" Error
        "The TLS certificate does not belong to the TLS key." "Give those that belong together, the server's own certificate first."
    TlsNotValid "tls-not-valid" Error
        "The TLS certificate or the certificate authority of clients has expired, or is not valid yet." "Renew it."
    TlsAuthority "tls-authority" Error
        "The certificates behind the server's own did not issue it, or tls.client_ca holds one that is no authority's."
        "Give the certificates of the issuers, and of no others."
    TlsEndsSoon "tls-ends-soon" Warning
        "A certificate has less than 30 days, or than a third of its time." "Renew it: new files apply without a restart."
    TlsKeyPermissions "tls-key-permissions" Warning
        "The TLS key may be read by everybody, or written by others than its owner."
        "Give it the mode 0400, or 0440 with a group of K8s Manager's own; for a Secret volume: defaultMode and fsGroup."
    SshProgram "ssh-program" Error
        "SSHCONFIGFILE is set and the program ssh is not there: no user job can be made."
        "Install OpenSSH's client in the image, or set userjobs.ssh_program."
    SshConfiguration "ssh-configuration" Error
        "The file that SSHCONFIGFILE names, or one that it includes, cannot be read, or others may write to it."
        "Correct the path, mount the file, or take the right to write away."
    SshAliases "ssh-aliases" Warning
        "The ssh configuration names no host for user jobs: each one is refused."
        "Name each host literally as `Host tunnel_<hostname>`; patterns do not count."
    SshTargets "ssh-targets" Warning
        "A pattern of userjobs.allowed_target_nodes cannot match any node." "Correct it, or remove it."
    LogDirectory "log-directory" Warning
        "A folder of logs.directories is not there or is no folder: no file handler can write there."
        "Make the folder, or remove it from the list."
    SkeletonMissing "skeleton-missing" Warning
        "There is no skeleton for a credential's homes: new homes are empty." "Make the folder, or correct userhomes."
    SkeletonBroken "skeleton-broken" Error
        "A skeleton cannot be copied: every start of a new user fails." "Make the file readable, or remove what is told."
    SkeletonLeftOut "skeleton-left-out" Warning
        "A part of a skeleton is not copied: a link that leads out or nowhere, or neither file nor folder."
        "Replace it with a file, or leave it out by userhomes.skel_ignore_files."
    SkeletonLarge "skeleton-large" Warning
        "A skeleton is large: it is copied within a start, which must be done in 12 s."
        "Mount what is large instead of copying it."
    // A description's files.
    DescriptionsMissing "descriptions-missing" Error
        "The folder services.descriptions cannot be read." "Correct the path, or mount the folder."
    ServiceYamlMissing "service-yaml-missing" Warning
        "A folder of descriptions holds files and no service.yaml: starts of that service are refused."
        "Add the file, or correct its name (services.yaml_filename)."
    ServiceName "service-name" Error
        "A folder's name cannot be a service's name, or a credential's." "Rename it: no control characters, no backslash."
    FileUnused "file-unused" Warning
        "A YAML, JSON or Handlebars file beside service.yaml plays no part: Kubernetes never sees it."
        "Move it into service.yaml, correct its name, or leave it out by services.descriptions_ignore_files."
    StageOfFileUnknown "stage-of-file-unknown" Warning
        "A file's name selects for a stage or credential that does not exist, but for its spelling."
        "Correct the beginning of the name."
    StageNotSkipped "stage-not-skipped" Warning
        "A file is for one stage or credential and is given to all others too."
        "Add the stage to services.skip.stage, or the credential to services.skip.credential."
    BothTemplates "both-templates" Error
        "There is the same file with and without .hbs." "Remove one of them."
    FileUnreadable "file-unreadable" Error
        "A file of a description cannot be read, is not UTF-8, or is neither file nor folder." "Correct or remove it."
    LinkLeadsOut "link-leads-out" Error
        "A symbolic link leads out of the credential's descriptions, or nowhere." "Copy the file instead."
    DescriptionTooLarge "description-too-large" Error
        "The files of a description are larger than services.max_description_bytes, too many, or nested too deep."
        "Mount what is large from a volume, or bring it in the image."
    ObjectTooLarge "object-too-large" Error
        "An object is larger than Kubernetes takes: 1 MiB of data in a ConfigMap or Secret, 1.5 MiB in any."
        "Make the input folder smaller: mount what is large from a volume, or bring it in the image."
    InputCollision "input-collision" Error
        "A file of the input folder would be renamed to a folder's name." "Rename one of them."
    InputUnused "input-unused" Warning
        "There is an input folder and the description does not use the keyword for it." "Use it, or remove the folder."
    InputMissing "input-missing" Warning
        "The description uses the keyword for the input folder and has none: it stands for nothing."
        "Add the folder (services.input_dir), or remove the keyword."
    // What is in service.yaml and update.yaml.
    KeywordUnknown "keyword-unknown" Error
        "A keyword was not replaced: nobody knows it for this stage and credential. It stays as it is."
        "Correct its spelling, or define it in services.replace. A warning where it may be plain text."
    TemplateSyntax "template-syntax" Error
        "A Handlebars template cannot be read, or uses what templates may not." "Correct it as the message says."
    TemplateValue "template-value" Error
        "A Handlebars template needs a value that is not known, or has no use for the one that it gets."
        "Correct the name, or give a fallback: {{default name \"fallback\"}}."
    TemplateOption "template-option" Warning
        "A Handlebars template needs a user option that only the hub can give: without it a start fails."
        "Give it by --user-options where hubs always send it, else write {{default user_options.x \"fallback\"}}."
    YamlSyntax "yaml-syntax" Error
        "The rendered file is no YAML." "Correct it at the place that is told; values with special characters want quotes."
    Manifest "manifest" Error
        "A document is no Kubernetes object: kind, apiVersion or a name is missing, or a label is no text."
        "Add what is missing; put numbers, yes and no in quotes where a text is needed."
    EmptyDocument "empty-document" Warning
        "There is nothing between two lines `---`." "Remove one of them."
    NoWorkload "no-workload" Error
        "The description holds nothing that runs a container." "Add a Pod, Deployment, StatefulSet or Job."
    NoMainContainer "no-main-container" Error
        "No container has the name services.container_main_name, whose state is the server's state."
        "Rename the container, or change the configuration."
    MainName "main-name" Warning
        "Several Deployments have the main container and none is called services.deployment_main_name_prefix and the id."
        "Name the main one so: its pods decide whether the server runs."
    NameInvalid "name-invalid" Error
        "A name or label is not valid for Kubernetes, or too long once the id is filled in."
        "Use lower-case letters, digits and `-`; an id may have 47 characters and begin with a digit."
    NameNotUnique "name-not-unique" Error
        "An object's name is the same for every start: the second user's start is refused."
        "Put the keyword for the id into the name, or annotate what is to outlive the server with k8smgr.io/keep: \"true\"."
    DuplicateObject "duplicate-object" Error
        "Two objects have the same kind, name and namespace: the start is refused." "Rename or remove one."
    SelectorMismatch "selector-mismatch" Error
        "The selector of a workload does not match the labels of its pods: Kubernetes refuses it."
        "Give the pod template the labels of the selector."
    ReferenceMissing "reference-missing" Error
        "A pod refers to an object of this start that the description does not make: it would wait for it for ever."
        "Correct the name, or add the object."
    HostPath "host-path" Error
        "A hostPath is not absolute or leads upwards; or (a warning) it opens the node to the pod."
        "Mount the folder that is needed and no more."
    UpdateAddsWorkload "update-adds-workload" Warning
        "update.yaml holds a workload that service.yaml does not: PUT starts it beside the first one."
        "Correct the name, if a change was meant."
    // The cluster.
    KindUnknown "kind-unknown" Error
        "The cluster does not serve the kind in this version." "Correct apiVersion and kind, or install what serves it."
    ClusterRefuses "cluster-refuses" Error
        "The cluster refuses the object in a dry run, as it would at a start." "Correct it as the cluster's message says."
    RightMissing "right-missing" Error
        "Who asks may not do in the cluster what K8s Manager has to do." "Grant it: `k8smgr check --rbac` prints the Role."
}
