// The API's page: Swagger UI over our own openapi.json, served from here like everything else.
window.SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", deepLinking: true });
