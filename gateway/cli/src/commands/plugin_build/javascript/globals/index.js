// What scripts find in browsers and in Node.js, and the engine does not have.

import "./random.js";
import "./encoding.js";
import "./console.js";
import "./clone.js";
import "./url.js";
