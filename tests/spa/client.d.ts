/** Types of client.js, for TypeScript and for editors. */

export interface Profile {
  user: { id: string; username: string; display_name: string; role: string };
  state: { theme: 'light' | 'dark'; credits: number; language?: string; nickname?: string; note?: string; cart?: string[] };
  version: number;
}

/** What a change of the profile may name. */
export type Patch = Partial<Omit<Profile['state'], 'credits'>>;

export interface Ask {
  method: 'GET' | 'PATCH' | 'POST';
  path: string;
  body?: object;
  headers?: Record<string, string>;
  bare?: boolean;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: object | null;
}

/** Every method rejects with a Problem, and with nothing else. */
export class Problem extends Error {
  constructor(body: { title?: string; detail?: string; code: string; request_id?: string }, status?: number, headers?: Headers);
  detail: string;
  /** A code of the API, or `unreachable`, `unreadable` or `superseded`. */
  code: string;
  requestId: string;
  /** 0 without an answer. */
  status: number;
  /** Seconds to wait before another try; 0 if the server asks for none. */
  retryAfter: number;
}

declare abstract class Client {
  constructor(base: string, heard?: (ask: Ask, answer: Answer) => void);
  /** Whether there may be a login. Only a request can tell. */
  get mayBeIn(): boolean;
  login(username: string, password: string): Promise<Profile>;
  profile(): Promise<Profile>;
  change(patch: Patch): Promise<Profile>;
  refresh(): Promise<void>;
  logout(): Promise<void>;
  /** Whether a problem ends the login. */
  ends(problem: Problem): boolean;
}

export class SessionClient extends Client {}
export class TokenClient extends Client {}
