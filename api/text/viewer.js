"use strict";

// Shows /openapi.json. Text is only ever set as text, never as HTML.
const element = (name, text, className) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
};

const resolve = (api, schema, depth = 0) => {
  if (!schema || depth > 6) return {};
  if (schema.$ref) return resolve(api, api.components.schemas[schema.$ref.split("/").pop()], depth + 1);
  const kinds = schema.oneOf || schema.anyOf;
  if (kinds) return resolve(api, kinds.find((kind) => kind.type !== "null"), depth + 1);
  if (schema.allOf) return Object.assign({}, ...schema.allOf.map((part) => resolve(api, part, depth + 1)));
  if (schema.properties) {
    return Object.fromEntries(Object.entries(schema.properties)
      .map(([name, property]) => [name, resolve(api, property, depth + 1)]));
  }
  if (schema.items) return [resolve(api, schema.items, depth + 1)];
  if (schema.example !== undefined) return schema.example;
  if (schema.enum) return schema.enum.join(" | ");
  return [].concat(schema.type || "any").join(" or ");
};

const table = (rows) => {
  const made = element("table");
  for (const row of rows) {
    const line = element("tr");
    row.forEach((cell, at) => {
      const box = element("td");
      box.append(at === 0 ? element("code", cell) : element("span", cell));
      line.append(box);
    });
    made.append(line);
  }
  return made;
};

const body = (api, content) => {
  const schema = Object.values(content || {})[0]?.schema;
  return element("pre", JSON.stringify(resolve(api, schema), null, 2));
};

const route = (api, path, method, operation) => {
  const box = element("details");
  const head = element("summary");
  const verb = method.toUpperCase();
  head.append(element("span", verb, `method ${verb}`), element("code", path), ` ${operation.summary}`);
  box.append(head, element("p", operation.description));
  if (operation.parameters) {
    box.append(element("h4", "Parameters"), table(operation.parameters.map((parameter) =>
      [parameter.name, parameter.in + (parameter.required ? ", required" : ""), parameter.description])));
  }
  if (operation.requestBody) {
    box.append(element("h4", "Body"), body(api, operation.requestBody.content));
  }
  box.append(element("h4", "Answers"), table(Object.entries(operation.responses)
    .map(([status, response]) => [status, response.description])));
  const success = Object.entries(operation.responses).find(([status]) => status.startsWith("2"));
  if (success && success[1].content) box.append(body(api, success[1].content));
  box.dataset.text = [verb, path, operation.summary, operation.description, operation.tags].join(" ").toLowerCase();
  return box;
};

const show = (api) => {
  const main = document.getElementById("routes");
  main.replaceChildren();
  const chapters = new Map();
  for (const [path, item] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags[0];
      if (!chapters.has(tag)) chapters.set(tag, []);
      chapters.get(tag).push(route(api, path, method, operation));
    }
  }
  for (const [tag, routes] of chapters) {
    const chapter = element("section");
    chapter.append(element("h2", tag), ...routes);
    main.append(chapter);
  }
};

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const box of document.querySelectorAll("details")) box.hidden = !box.dataset.text.includes(wanted);
  for (const chapter of document.querySelectorAll("section")) {
    chapter.hidden = !chapter.querySelector("details:not([hidden])");
  }
});

fetch("/openapi.json").then((answer) => answer.json()).then(show).catch((error) => {
  document.getElementById("routes").replaceChildren(element("p", `Cannot show /openapi.json: ${error}`));
});
