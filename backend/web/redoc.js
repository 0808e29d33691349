document.body.style.margin = "0";
Redoc.init("/openapi.json", { nativeScrollbars: true }, document.getElementById("redoc"));
