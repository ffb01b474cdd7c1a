//! The building blocks of the description: an operation with its answers, and a path with its operations.
//!
//! What all operations of an area have in common (credentials, refusals, the `Allow` header, HEAD and OPTIONS) is put in here
//! once, from the same `Area` that admits the calls.

use serde_json::{Map, Value, json};

use crate::http::admission::{Access, Area};

/// One method of one path.
pub struct Operation {
    method: &'static str,
    value: Value,
}

impl Operation {
    pub fn new(method: &'static str, id: &str, summary: &str, description: &str) -> Self {
        let value = json!({"operationId": id, "summary": summary, "description": description, "responses": {}});
        Self { method, value }
    }

    /// A header of the request that the operation looks at.
    pub fn header(mut self, name: &str, description: &str, schema: &Value) -> Self {
        let header = json!({"name": name, "in": "header", "description": description, "schema": schema});
        push(&mut self.value["parameters"], header);
        self
    }

    /// Takes a JSON body, and so can be answered with what is wrong with it.
    pub fn body(mut self, schema: &str, required: bool, examples: &Value) -> Self {
        let content = json!({"application/json": {"schema": component(schema), "examples": examples}});
        self.value["requestBody"] = json!({"required": required, "content": content});
        self.refusal("400", "The body is not what it should be; the answer says where and why.", "BadInput")
            .refusal("413", "The body is larger than `http.max_body_bytes`.", "Detail")
            .refusal("415", "The body is no `application/json`.", "Detail")
    }

    /// A parameter of the URL that may be left out.
    pub fn query(mut self, name: &str, description: &str, schema: &Value) -> Self {
        let query = json!({"name": name, "in": "query", "description": description, "schema": schema});
        push(&mut self.value["parameters"], query);
        self
    }

    /// A body whose mistakes are told as Outpost tells them.
    pub fn outpost_body(mut self, schema: &str, examples: &Value) -> Self {
        let content = json!({"application/json": {"schema": component(schema), "examples": examples}});
        self.value["requestBody"] = json!({"required": true, "content": content});
        self.refusal("400", "The body broke off.", "Detail")
            .refusal("413", "The body is larger than `http.max_body_bytes`.", "Detail")
            .refusal("422", "The body is not what it should be; the answer says where and why.", "OutpostInvalid")
    }

    pub fn answer(mut self, status: &str, description: &str, schema: &Value) -> Self {
        let content = json!({"application/json": {"schema": schema}});
        self.value["responses"][status] = json!({"description": description, "content": content});
        self
    }

    pub fn answer_of(mut self, status: &str, description: &str, media_type: &str, schema: &Value) -> Self {
        let content = json!({media_type: {"schema": schema}});
        self.value["responses"][status] = json!({"description": description, "content": content});
        self
    }

    pub fn empty(mut self, status: &str, description: &str) -> Self {
        self.value["responses"][status] = json!({ "description": description });
        self
    }

    /// An answer with an error's shape.
    pub fn refusal(self, status: &str, description: &str, schema: &str) -> Self {
        self.answer(status, description, &component(schema))
    }

    pub fn not_found(self) -> Self {
        self.refusal("404", "There is none of this name.", "Detail")
    }

    /// A header that an answer always has.
    pub fn answer_header(mut self, status: &str, name: &str, description: &str) -> Self {
        self.value["responses"][status]["headers"][name] =
            json!({"description": description, "required": true, "schema": {"type": "string"}});
        self
    }

    /// What can be asked next, with a value out of this answer: operation, its parameter, where the value is.
    pub fn link(mut self, status: &str, operation: &str, parameters: &Value) -> Self {
        self.value["responses"][status]["links"][operation] =
            json!({"operationId": operation, "parameters": parameters});
        self
    }

    /// The same question without the answer's body.
    fn head(&self) -> Self {
        let mut value = self.value.clone();
        value["operationId"] = json!(format!("{}Head", text(&value["operationId"])));
        value["summary"] = json!(format!("{} (head)", text(&value["summary"])));
        value["description"] = json!("As GET, without a body.");
        for answer in value["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Some(answer) = answer.as_object_mut() {
                answer.remove("content");
                answer.remove("links");
            }
        }
        Self { method: "head", value }
    }

    fn options(id: &str) -> Self {
        Operation::new("options", &format!("{id}Options"), "What is this?", "Its name; `Allow` lists the methods.")
            .answer("200", "The name.", &component("Name"))
    }
}

/// A path with all its methods.
pub struct PathItem {
    path: &'static str,
    tag: &'static str,
    parameters: Vec<Value>,
    operations: Vec<Operation>,
}

impl PathItem {
    pub fn new(path: &'static str, tag: &'static str, operations: Vec<Operation>) -> Self {
        Self { path, tag, parameters: Vec::new(), operations }
    }

    /// A segment of the path.
    pub fn parameter(mut self, name: &str, description: &str, schema: &Value) -> Self {
        let parameter =
            json!({"name": name, "in": "path", "required": true, "description": description, "schema": schema});
        self.parameters.push(parameter);
        self
    }

    /// Behind credentials: every answer of the area's has `Allow`, every method may be refused.
    pub fn within(mut self, area: Area) -> (&'static str, Value) {
        let who = match area.access {
            Access::Group(group) => format!("The caller is not in `{group}`."),
            Access::Superuser => "The caller is no superuser.".to_owned(),
        };
        let id = self.operations.first().map_or("", |it| text(&it.value["operationId"])).to_owned();
        self.operations.push(Operation::options(&id));
        let refused = |operation: Operation| {
            operation
                .refusal("401", "No credentials, or wrong ones.", "Detail")
                .refusal("403", &who, "Detail")
                .answer_header("401", "WWW-Authenticate", "`Basic realm=\"api\"`")
        };
        self.operations = self.operations.into_iter().map(refused).collect();
        for operation in &mut self.operations {
            for answer in operation.value["responses"].as_object_mut().into_iter().flat_map(Map::values_mut) {
                answer["headers"]["Allow"] = json!({
                    "description": "The methods of this path.",
                    "required": true,
                    "schema": {"type": "string", "const": area.allow},
                });
            }
        }
        self.finished()
    }

    /// Behind a password of a hub, in Outpost's protocol.
    pub fn behind_basic(mut self) -> (&'static str, Value) {
        let refused = |mut operation: Operation| {
            operation.value["security"] = json!([{"password": []}]);
            operation
                .refusal("401", "No credentials, or wrong ones.", "Detail")
                .refusal("403", "The caller is not in `access_to_webservice`.", "Detail")
                .answer_header("401", "WWW-Authenticate", "`Basic`")
        };
        self.operations = self.operations.into_iter().map(refused).collect();
        self.finished()
    }

    /// For everybody; credentials are not looked at.
    pub fn open(mut self) -> (&'static str, Value) {
        for operation in &mut self.operations {
            operation.value["security"] = json!([]);
        }
        self.finished()
    }

    fn finished(mut self) -> (&'static str, Value) {
        if let Some(get) = self.operations.iter().find(|it| it.method == "get") {
            let head = get.head();
            self.operations.push(head);
        }
        let mut item = Map::new();
        if !self.parameters.is_empty() {
            item.insert("parameters".to_owned(), Value::Array(self.parameters));
        }
        for operation in self.operations {
            let head = operation.method == "head";
            let mut value = operation.value;
            value["tags"] = json!([self.tag]);
            for (status, answer) in [("431", "TooLargeHead"), ("500", "Internal"), ("503", "Unavailable")] {
                let answers = &mut value["responses"];
                if answers.get(status).is_none() {
                    let name = if head { "Bodyless" } else { answer };
                    answers[status] = json!({"$ref": format!("#/components/responses/{name}")});
                }
            }
            item.insert(operation.method.to_owned(), value);
        }
        (self.path, Value::Object(item))
    }
}

pub fn component(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
