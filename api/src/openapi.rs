//! The OpenAPI 3.1 document, built from the specs that serve the routes: no route can be served
//! without being described.

use firstcome_domain::kernel::version::RELEASE;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{
    ArrayBuilder, Components, ComponentsBuilder, ObjectBuilder, Ref, Schema, SchemaType, Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Required, ResponseBuilder,
    ResponsesBuilder,
};

use crate::problem::Code;
use crate::spec::{IfMatch, KeyRule, SchemaOf, Spec, Success, Verb};

/// Builds the document of these routes.
pub(crate) fn document(specs: &[&'static Spec]) -> OpenApi {
    let mut paths = Paths::new();
    let mut components = ComponentsBuilder::new()
        .schema("Problem", problem_schema())
        .security_scheme(
            "token",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("JWT")
                    .description(Some("An access token. Its role decides what is allowed."))
                    .build(),
            ),
        )
        .build();
    for spec in specs.iter().filter(|spec| !spec.hidden) {
        collect(spec, &mut components);
        paths.add_path_operation(spec.path, vec![method(spec.verb)], operation(spec));
    }
    let info = InfoBuilder::new()
        .title("firstcome")
        .version(RELEASE)
        .description(Some(
            "Sells limited stock first come, first served. Every node serves the same API. \
             Every response carries `X-Revision`, its position in the replicated log.",
        ))
        .build();
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

const fn method(verb: Verb) -> HttpMethod {
    match verb {
        Verb::Get => HttpMethod::Get,
        Verb::Post => HttpMethod::Post,
        Verb::Put => HttpMethod::Put,
        Verb::Patch => HttpMethod::Patch,
        Verb::Delete => HttpMethod::Delete,
    }
}

fn collect(spec: &Spec, components: &mut Components) {
    let success = match spec.success {
        Success::One(of) | Success::List(of) => Some(of),
        Success::Empty | Success::Media(_) => None,
    };
    for of in spec.body.into_iter().chain(success) {
        let mut found = vec![((of.name)().into_owned(), (of.schema)())];
        (of.nested)(&mut found);
        for (name, schema) in found {
            components.schemas.insert(name, schema);
        }
    }
}

fn operation(spec: &Spec) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(spec.operation))
        .tag(spec.tag)
        .summary(Some(spec.summary))
        .description(Some(format!("Permission: `{}`.", spec.permission.as_str())))
        .responses(responses(spec));
    if let Some(name) = spec.path_parameter() {
        let text = "ID of the object. Anything else, also an ID of another kind, gives 404.";
        operation = operation.parameter(parameter(name, ParameterIn::Path, true, text));
    }
    for query in spec.parameters() {
        operation =
            operation.parameter(parameter(query.name, ParameterIn::Query, false, query.text));
    }
    for (name, required, text) in headers(spec) {
        operation = operation.parameter(parameter(name, ParameterIn::Header, required, text));
    }
    if let Some(body) = spec.body {
        let content = ContentBuilder::new().schema(Some(reference(body))).build();
        let required = if spec.body_optional { Required::False } else { Required::True };
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(required))
            .build();
        operation = operation.request_body(Some(body));
    }
    if !spec.permission.is_public() {
        let none: [&str; 0] = [];
        operation = operation.security(SecurityRequirement::new("token", none));
    }
    operation.build()
}

fn headers(spec: &Spec) -> Vec<(&'static str, bool, &'static str)> {
    let mut headers = vec![
        ("Request-Id", false, "Returned in the response; 1 to 128 visible ASCII characters."),
        ("Accept-Language", false, "`ko` or `en`, for `title` and `detail` of problem documents."),
    ];
    if spec.permission != crate::access::Permission::Open {
        let text =
            "Waits up to 2 seconds for this node to apply the revision, else responds with 503.";
        headers.push(("Min-Revision", false, text));
    }
    let text =
        "1 to 255 visible ASCII characters. A retry with the same key gets the same response.";
    match spec.key {
        KeyRule::Unused => {}
        KeyRule::Accepted => headers.push(("Idempotency-Key", false, text)),
        KeyRule::Required => headers.push(("Idempotency-Key", true, text)),
    }
    let text = "The ETag of the object you read.";
    match spec.if_match {
        IfMatch::Unused => {}
        IfMatch::Accepted => headers.push(("If-Match", false, text)),
        IfMatch::Required => headers.push(("If-Match", true, text)),
    }
    headers
}

fn parameter(
    name: &str,
    place: ParameterIn,
    required: bool,
    text: &str,
) -> utoipa::openapi::path::Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(if required { Required::True } else { Required::False })
        .description(Some(text))
        .schema(Some(string()))
        .build()
}

fn string() -> RefOr<Schema> {
    RefOr::T(Schema::Object(
        ObjectBuilder::new().schema_type(SchemaType::Type(Type::String)).build(),
    ))
}

fn reference(of: SchemaOf) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name((of.name)()))
}

fn responses(spec: &Spec) -> utoipa::openapi::Responses {
    let mut success = ResponseBuilder::new().description(spec.summary);
    success = success.header(
        "X-Revision",
        HeaderBuilder::new()
            .description(Some("The revision of the write, or the one the read was served at."))
            .build(),
    );
    success = match spec.success {
        Success::Empty => success,
        Success::Media(media) => {
            success.content(media, ContentBuilder::new().schema(Some(string())).build())
        }
        Success::One(of) => {
            let content = ContentBuilder::new().schema(Some(reference(of))).build();
            success.content("application/json", content)
        }
        Success::List(of) => {
            let content = ContentBuilder::new().schema(Some(list_schema(of))).build();
            success.content("application/json", content)
        }
    };
    let mut responses = ResponsesBuilder::new().response(spec.status.to_string(), success.build());
    let mut codes = spec.all_codes();
    codes.sort_unstable_by_key(|code| (code.status(), code.as_str()));
    codes.dedup();
    for group in codes.chunk_by(|a, b| a.status() == b.status()) {
        let Some(first) = group.first() else { continue };
        let words: Vec<String> = group.iter().map(|code| format!("`{}`", code.as_str())).collect();
        let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
        let response = ResponseBuilder::new()
            .description(words.join(", "))
            .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build())
            .build();
        responses = responses.response(first.status().as_u16().to_string(), response);
    }
    responses.build()
}

fn list_schema(of: SchemaOf) -> RefOr<Schema> {
    let cursor = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("Pass as `cursor` to get the next page; `null` on the last page."))
        .build();
    let object = ObjectBuilder::new()
        .property("object", string())
        .property("data", ArrayBuilder::new().items(reference(of)).build())
        .property("next_cursor", cursor)
        .required("object")
        .required("data")
        .required("next_cursor")
        .build();
    RefOr::T(Schema::Object(object))
}

fn problem_schema() -> RefOr<Schema> {
    let integer = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)).build();
    let boolean = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Boolean)).build();
    let codes = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(Code::ALL.iter().map(|code| code.as_str())))
        .build();
    let executed = ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(["no", "maybe"]))
        .description(Some("Whether the request may have taken effect."))
        .build();
    let field = ObjectBuilder::new()
        .property("pointer", string())
        .property("code", string())
        .property("detail", string())
        .build();
    let object = ObjectBuilder::new()
        .description(Some(
            "RFC 9457 problem document. Some codes add members, such as `opens_at` or `ticket`.",
        ))
        .property("type", string())
        .property("title", string())
        .property("status", integer)
        .property("code", codes)
        .property("detail", string())
        .property("instance", string())
        .property("request_id", string())
        .property("executed", executed)
        .property("retryable", boolean)
        .property("errors", ArrayBuilder::new().items(field).build());
    let required = [
        "type",
        "title",
        "status",
        "code",
        "detail",
        "instance",
        "request_id",
        "executed",
        "retryable",
    ];
    RefOr::T(Schema::Object(required.into_iter().fold(object, ObjectBuilder::required).build()))
}
