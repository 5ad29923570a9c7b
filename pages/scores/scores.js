// The page of the board: everything it does is in board.js, which the reporter's page shares.

import { openBoard } from "./board.js";

openBoard();
