// A mail client as a student writes it.
import java.io.*;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.time.*;
import java.time.format.DateTimeFormatter;

public class Right {
    static BufferedReader in;
    static OutputStream out;

    static void say(String line) throws IOException {
        out.write((line + "\r\n").getBytes(StandardCharsets.ISO_8859_1));
        out.flush();
    }

    static void expect(String code) throws IOException {
        String line;
        do {
            line = in.readLine();
            System.out.println(line);
        } while (line != null && line.length() > 3 && line.charAt(3) == '-');
        if (line == null || !line.startsWith(code)) {
            System.out.println(code + " reply not received from server.");
            if (line != null) say("QUIT");
            System.exit(1);
        }
    }

    public static void main(String[] args) throws IOException {
        Socket socket = new Socket(args[0], Integer.parseInt(args[1]));
        in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.ISO_8859_1));
        out = socket.getOutputStream();
        expect("220");
        say("HELO client.example");
        expect("250");
        say("MAIL FROM:<" + args[2] + ">");
        expect("250");
        say("RCPT TO:<" + args[3] + ">");
        expect("250");
        say("DATA");
        expect("354");
        say("From: " + args[2]);
        say("To: " + args[3]);
        say("Subject: " + args[4]);
        say("Date: " + DateTimeFormatter.RFC_1123_DATE_TIME.format(ZonedDateTime.now(ZoneOffset.UTC)));
        say("");
        for (String line : Files.readAllLines(Paths.get(args[5]))) {
            if (line.startsWith(".")) {
                line = "." + line;
            }
            say(line);
        }
        say(".");
        expect("250");
        say("QUIT");
        expect("221");
        socket.close();
    }
}
