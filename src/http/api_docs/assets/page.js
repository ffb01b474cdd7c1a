// Shows the description with Swagger UI. HEAD and OPTIONS, which every path has, are left out here.
"use strict";

const ORDER = ["get", "post", "put", "patch", "delete"];
const HIDDEN = ["head", "options"];

function withoutNoise(description) {
  for (const methods of Object.values(description.paths)) {
    for (const method of HIDDEN) delete methods[method];
  }
  return description;
}

async function show() {
  const answer = await fetch("/api-docs");
  const description = withoutNoise(await answer.json());
  SwaggerUIBundle({
    spec: description,
    dom_id: "#page",
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    defaultModelsExpandDepth: 0,
    validatorUrl: null,
    // Else a 401 makes the browser ask for a login of its own, and keep it.
    requestInterceptor: (request) => ({ ...request, credentials: "omit" }),
    operationsSorter: (a, b) =>
      a.get("path").localeCompare(b.get("path")) ||
      ORDER.indexOf(a.get("method")) - ORDER.indexOf(b.get("method")),
  });
}

show().catch((error) => {
  document.getElementById("page").textContent = `The description could not be read: ${error.message}`;
});
