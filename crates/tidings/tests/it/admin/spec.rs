//! Compares answers of the admin API with its OpenAPI document: as much of JSON Schema as that uses.

use serde_json::Value;

use crate::harness::{Answer, Connection, Request, TestHub};

/// The token of operators in the tests.
pub const OPERATOR: &str = "4b7c2e9f0d1a6853b7c2e9f0d1a68534";

/// An operator of a hub, who knows what it promises.
pub struct Operator<'a> {
    pub hub: &'a TestHub,
    spec: Value,
}

impl<'a> Operator<'a> {
    /// Reads what the hub promises.
    pub fn of(hub: &'a TestHub) -> Self {
        let answer = send(hub, Request::get("/admin/v1/openapi.json").bearer(OPERATOR));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let spec = answer.json();
        Self { hub, spec }
    }

    /// Returns each route: method and path.
    pub fn routes(&self) -> Vec<(String, String)> {
        let paths = self.spec["paths"].as_object().expect("paths");
        let routes = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(|method| (method.to_uppercase(), path.clone()))
        });
        routes.collect()
    }

    /// Asks for what a path has; the parameters come after a `?`.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.checked(&Request::get(path), 200)
    }

    /// Sends a command that must succeed.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        let status = if path.ends_with("/drain") { 202 } else { 200 };
        self.checked(&Request::post(path).body(body.to_string()), status)
    }

    /// Sends a request that must be refused, and returns its status and the name of the problem.
    #[track_caller]
    pub fn refused(&self, request: &Request) -> (u16, String) {
        let answer = self.answer(request);
        (answer.status, answer.problem())
    }

    /// Sends a request, and returns what the document promises for it, whatever it is.
    #[track_caller]
    pub fn answer(&self, request: &Request) -> Answer {
        let answer = self.send(request);
        self.check(request, &answer);
        answer
    }

    #[track_caller]
    fn checked(&self, request: &Request, status: u16) -> Value {
        let answer = self.send(request);
        assert_eq!(answer.status, status, "{}", answer.text());
        self.check(request, &answer);
        answer.json()
    }

    fn send(&self, request: &Request) -> Answer {
        send(self.hub, request.clone().bearer(OPERATOR))
    }

    /// Checks that an answer is one of those that the document promises.
    #[track_caller]
    fn check(&self, request: &Request, answer: &Answer) {
        let path = request.target.split('?').next().unwrap_or_default();
        let operation = &self.spec["paths"][path][request.method.to_lowercase()];
        assert!(operation.is_object(), "{path} is not in the document");
        let mut parameters = request
            .target
            .split('?')
            .nth(1)
            .unwrap_or_default()
            .split('&');
        let known = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let unknown = parameters.find(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            !name.is_empty() && !known.iter().any(|parameter| parameter["name"] == name)
        });
        assert_eq!(unknown, None, "a parameter that {path} does not have");
        let response = &operation["responses"][answer.status.to_string()];
        let contents = response["content"].as_object();
        let contents = contents.unwrap_or_else(|| {
            panic!(
                "{path} does not promise {}: {}",
                answer.status,
                answer.text()
            )
        });
        let media_type = answer.header("content-type").expect("a media type");
        let content = contents
            .get(media_type)
            .unwrap_or_else(|| panic!("{path} does not promise {media_type}"));
        if let Err(wrong) = self.fits(&content["schema"], &answer.json(), path) {
            panic!("{wrong}: {}", answer.text());
        }
        if answer.status < 300
            && let Ok(body) = serde_json::from_slice::<Value>(&request.body)
        {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if !schema.is_null()
                && let Err(wrong) = self.fits(schema, &body, "the body")
            {
                panic!("{wrong}: {body}");
            }
        }
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or_default();
            let schema = &self.spec["components"]["schemas"][name];
            assert!(schema.is_object(), "there is no schema {name}");
            return self.fits(schema, value, at);
        }
        if let Some(ways) = schema["oneOf"].as_array() {
            let fitting = ways.iter().filter(|way| self.fits(way, value, at).is_ok());
            return match fitting.count() {
                1 => Ok(()),
                count => Err(format!("{at} fits {count} of the schemas of its oneOf")),
            };
        }
        if let Some(words) = schema["enum"].as_array() {
            return match words.contains(value) {
                true => Ok(()),
                false => Err(format!("{at} is {value}, none of {words:?}")),
            };
        }
        let one = || vec![schema["type"].clone()];
        let types = schema["type"].as_array().cloned().unwrap_or_else(one);
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let named = types
            .iter()
            .any(|name| name == kind || (kind == "integer" && name == "number"));
        if !named {
            return Err(format!("{at} is {value}, which is no {types:?}"));
        }
        match value {
            Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
                self.fits(&schema["items"], item, &format!("{at}[{index}]"))
            }),
            Value::Object(members) => {
                let required = schema["required"].as_array().into_iter().flatten();
                for name in required.filter_map(Value::as_str) {
                    if !members.contains_key(name) {
                        return Err(format!("{at} lacks {name}"));
                    }
                }
                let known = schema["properties"].as_object();
                for (name, member) in members {
                    let at = format!("{at}.{name}");
                    match known.and_then(|known| known.get(name)) {
                        Some(schema) => self.fits(schema, member, &at)?,
                        None if schema["additionalProperties"] == false => {
                            return Err(format!("{at} is not promised"));
                        }
                        None => {}
                    }
                }
                Ok(())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }
}

/// Sends a request to the operators' listener.
pub fn send(hub: &TestHub, request: Request) -> Answer {
    let admin = hub.admin.expect("an operators' listener");
    Connection::open(admin).request(&request)
}
