// The SDK's one address: `import { Publisher, Viewer } from 'https://node.example/sdk.js'`. What it is made of is in sdk/.

export * from './sdk/index.js';
